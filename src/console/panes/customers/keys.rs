//! The keys of the customers pane: typing in the field, moving in the list, opening a customer.

use super::Model;
use crate::console::ask::{Ask, CopyItem};
use crate::console::context::Context;
use crate::console::keymap::{Action, Binding};
use crate::domain::facts::Handle;
use crate::domain::needle::Needle;
use crate::protocol::key::Key;

#[must_use]
pub fn bindings(m: &Model, _cx: &Context) -> Vec<Binding> {
    let some = m.selected().map(|_| ()).ok_or_else(|| "nobody is selected".to_string());
    let open = Binding::new(Action::Open, "open").when(whom(m).map(|_| ()).ok_or_else(|| "nobody is selected".to_string()));
    if m.is_editing() {
        // Letters are text there: a footer must not promise them.
        let back = if m.field.is_empty() { "back" } else { "leave the field" };
        return vec![open, Binding::new(Action::NextTab, "to the list").when(some), Binding::new(Action::Back, back)];
    }
    let mut all = vec![
        open,
        Binding::new(Action::Filter, "search"),
        Binding::new(Action::Copy, "copy").when(some),
        Binding::quiet(Action::Refresh),
        Binding::new(Action::Back, "back"),
    ];
    all.extend(Binding::moves());
    all
}

pub fn act(m: &mut Model, action: Action, cx: &Context) -> Vec<Ask> {
    let (page, len) = (usize::from(cx.rows.saturating_sub(9)), m.rows().len());
    if let Some(by) = action.rows(page) {
        m.cursor.by(by, len);
        return Vec::new();
    }
    match action {
        Action::Filter => {
            m.focus();
            Vec::new()
        }
        Action::Open => whom(m).map(Ask::Open).into_iter().collect(),
        Action::Copy => m.selected().map(|f| Ask::Copy(copies(&f.hit, cx.revealed))).into_iter().collect(),
        Action::Refresh if m.list.is_none() => m.refresh(cx),
        Action::Back => vec![Ask::Back],
        _ => Vec::new(),
    }
}

/// A key while the field has the focus. Moving and opening work from there, so that no key is needed in between.
pub fn edit(m: &mut Model, key: Key, cx: &Context) -> Vec<Ask> {
    let len = m.rows().len();
    match key {
        Key::Enter => whom(m).map(Ask::Open).into_iter().collect(),
        Key::Down => {
            m.cursor.by(1, len);
            Vec::new()
        }
        Key::Up => {
            m.cursor.by(-1, len);
            Vec::new()
        }
        Key::Tab | Key::BackTab => {
            m.focused = false;
            Vec::new()
        }
        Key::Esc if m.field.is_empty() => {
            m.focused = false;
            vec![Ask::Back]
        }
        Key::Esc => {
            m.focused = false;
            Vec::new()
        }
        key if m.field.key(key) => m.look(cx),
        _ => Vec::new(),
    }
}

/// Whom Enter opens: the selected row, or whoever the text names by itself while nothing has come in yet.
fn whom(m: &Model) -> Option<Handle> {
    m.selected().map(|f| f.hit.handle).or_else(|| Needle::parse(m.field.text()).as_ref().and_then(Handle::named_by))
}

fn copies(hit: &crate::protocol::query::Hit, revealed: bool) -> Vec<CopyItem> {
    let mut items = Vec::new();
    items.extend(hit.subject.as_ref().map(|s| CopyItem::new("profile id", s.as_str())));
    items.extend(hit.customer.as_ref().map(|c| CopyItem::new("customer id", c)));
    if revealed {
        items.extend(hit.email.as_ref().map(|e| CopyItem::new("e-mail address", e)));
    }
    items
}
