//! The keys of the subscription pane: scrolling, the next subscription, copying.

use super::Model;
use super::lines::lines;
use crate::console::ask::{Ask, CopyItem};
use crate::console::context::Context;
use crate::console::keymap::{Action, Binding};
use crate::protocol::key::Key;

#[must_use]
pub fn bindings(m: &Model, _cx: &Context) -> Vec<Binding> {
    let some = m.subscription().map(|_| ()).ok_or_else(|| "the subscription is not read yet".to_string());
    let several = if m.siblings().len() > 1 { Ok(()) } else { Err("there is no other subscription".to_string()) };
    let mut all = vec![
        Binding::new(Action::NextTab, "next one").when(several.clone()),
        Binding::quiet(Action::PreviousTab).when(several),
        Binding::new(Action::Copy, "copy").when(some),
        Binding::new(Action::Back, "back"),
    ];
    all.extend(Binding::moves());
    all
}

pub fn act(m: &mut Model, action: Action, cx: &Context) -> Vec<Ask> {
    let last = lines(m, cx).len().saturating_sub(1);
    let page = usize::from(cx.rows.saturating_sub(9)).max(1);
    match action {
        Action::MoveUp => m.scroll = m.scroll.saturating_sub(1),
        Action::MoveDown => m.scroll = (m.scroll + 1).min(last),
        Action::Top => m.scroll = 0,
        Action::Bottom => m.scroll = last,
        Action::PageUp | Action::HalfUp => m.scroll = m.scroll.saturating_sub(page),
        Action::PageDown | Action::HalfDown => m.scroll = (m.scroll + page).min(last),
        Action::NextTab => m.turn(1),
        Action::PreviousTab => m.turn(m.siblings().len().saturating_sub(1)),
        Action::Copy => return m.subscription().map(|s| Ask::Copy(copies(s))).into_iter().collect(),
        Action::Back => return vec![Ask::Back],
        _ => {}
    }
    Vec::new()
}

/// This pane has no text field.
pub fn edit(_m: &mut Model, _key: Key, _cx: &Context) -> Vec<Ask> {
    Vec::new()
}

fn copies(s: &crate::domain::stripe::Subscription) -> Vec<CopyItem> {
    let mut items = vec![CopyItem::new("subscription id", s.id.as_str()), CopyItem::new("customer id", s.customer.as_str())];
    items.extend(s.latest_invoice.as_ref().map(|i| CopyItem::new("latest invoice id", i.as_str())));
    items.extend(s.items.iter().map(|i| CopyItem::new("price id", i.price.id.as_str())));
    let url = format!("${{STRIPE_API_BASE:-https://api.stripe.com}}/v1/subscriptions/{}", s.id);
    items.push(CopyItem::new("curl for it", format!("curl -s -u \"$STRIPE_SECRET_KEY:\" \"{url}\"")));
    items
}
