//! Answers with what was said last. For trying things out, and for tests that need no model.

use futures_util::{StreamExt, stream};

use super::{Delta, Deltas, Finish, Provider, Request};

/// Answers with the last message, word by word.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Provider for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn complete(&self, request: Request) -> Deltas {
        let text = request.context.last().map(super::Message::text).unwrap_or_default();
        let words: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
        let finish = Finish { reason: Some("stop".to_owned()), ..Finish::default() };
        let end = stream::iter([Ok(Delta::End(finish))]);
        Box::pin(stream::iter(words).map(|word| Ok(Delta::Text(word))).chain(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Message, Role};

    #[tokio::test]
    async fn says_what_was_said_last() {
        let context = ["first", "and then some"].map(|text| Message::text_of(Role::User, text));
        let request = Request { turn: "t".into(), context: context.into(), model: None };
        let deltas: Vec<_> = Echo.complete(request).map(Result::unwrap).collect().await;
        let text = |text: &str| Delta::Text(text.to_owned());
        assert_eq!(deltas[..3], [text("and "), text("then "), text("some")]);
        assert!(matches!(&deltas[3..], [Delta::End(_)]));
    }
}
