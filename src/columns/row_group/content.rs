//! Content of finished rows: what else is content, and all of it taken out.

use super::RowGroup;
use crate::columns::build::map::Map;
use crate::columns::build::strings::Strings;

impl RowGroup {
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
