//! Content: that of a span's events apart from them, what else is content in finished rows, and all of it taken out.

use super::{Mark, RowGroup};
use crate::columns::build::map::Map;
use crate::columns::build::strings::Strings;

impl RowGroup {
    /// Moves attributes that are content out of the events of the span under way, by the event's name and their key: its content is
    /// in columns of content alone. Returns how many bytes more the row takes then.
    pub fn move_content_of_events(&mut self, mark: Mark, is_content: impl Fn(&[u8], &[u8]) -> bool) -> usize {
        let before = self.bytes_since(mark);
        self.events.move_content(mark.events, &mut self.content_attributes, is_content);
        self.bytes_since(mark).saturating_sub(before)
    }

    /// Moves the attributes of these keys to those that are content, in all rows.
    pub fn move_to_content(&mut self, is_content: impl Fn(&[u8]) -> bool) {
        self.content_attributes = self.span_attributes.parted(&self.content_attributes, is_content);
    }

    /// Takes content out of all rows: messages, prompts, what tools got and gave, requests and responses as they were sent.
    pub fn drop_content(&mut self, is_content_of_event: impl Fn(&[u8], &[u8]) -> bool) {
        self.typed.drop_content();
        self.content_attributes = Map::default();
        for raw in [&mut self.raw_request, &mut self.raw_response] {
            *raw = Strings::default();
            raw.pad_to(self.rows);
        }
        self.events.drop_content(is_content_of_event);
    }
}
