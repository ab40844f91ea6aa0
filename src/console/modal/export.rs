//! A file out of the drawer: what becomes of it, and how to stop it.

use super::Modal;
use crate::console::ask::{ActionItem, Ask, CopyItem};
use crate::console::exports::Standing;
use crate::console::fulfil;
use crate::console::state::State;
use crate::protocol::effect::Effect;
use uuid::Uuid;

/// While it is written, the menu that stops it; then where it lies, to copy.
pub fn open(state: &mut State, id: Uuid) -> Vec<Effect> {
    let Some(export) = state.tasks.exports.get(id).cloned() else { return Vec::new() };
    match export.standing {
        Standing::Writing => {
            let stop =
                ActionItem::new('x', format!("stop writing {}; what there is stays, as partial", export.file), Ask::CancelExport(id));
            fulfil::dialog(state, Modal::Actions { items: vec![stop] })
        }
        Standing::Complete | Standing::Partial(_) => {
            let items = vec![CopyItem::new(export.word(), export.say()), CopyItem::new("file", export.file)];
            fulfil::dialog(state, Modal::Copy { items, at: 0, copied: None })
        }
    }
}
