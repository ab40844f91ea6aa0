//! How this pane looks.

use super::Model;
use crate::console::context::Context;
use crate::console::widgets::theme::Theme;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

pub fn draw(_m: &Model, _cx: &Context, _area: Rect, _buf: &mut Buffer, _theme: &Theme) {}
