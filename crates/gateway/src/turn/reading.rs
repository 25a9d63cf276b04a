//! What a turn reads of its journal, whole or not.

use session_journal::{ErrorKind, Item, Reader};

use super::request::{DELIVERIES_MAX, OnLoss, delivery_key};
use crate::conversation::{Context, Lost, Said};
use crate::gaps::{behind, hides};
use crate::outbox::{Intent, intent_at};

/// The deliveries of an answer, which stand behind it; `None` for what may be lost there.
pub(super) fn intents_behind(
    reader: &Reader,
    key: &str,
    answer_at: u64,
) -> session_journal::Result<Vec<(String, Option<Intent>)>> {
    let mut intents = Vec::new();
    for number in 0..DELIVERIES_MAX {
        let key = delivery_key(key, number);
        match behind(reader, answer_at, intent_at(reader, &key)) {
            Ok(Some(intent)) => intents.push((key, Some(intent))),
            Ok(None) => break,
            Err(error) if error.kind() == ErrorKind::Unknown => intents.push((key, None)),
            Err(error) => return Err(error),
        }
    }
    Ok(intents)
}

/// The context; `None` where it is too large.
pub(crate) fn walk(
    reader: &Reader,
    mut context: Context,
    limit: usize,
    on_loss: OnLoss,
) -> session_journal::Result<Option<Vec<Said>>> {
    for item in reader.backwards().with_gaps() {
        let wants_more = match item? {
            Item::Record(record) => context.feed(&record),
            Item::Gap(gap) => {
                let lost = Lost::of(&gap);
                let before = context.lost();
                let wants_more = context.lose(lost, |key| hides(reader, key))?;
                if on_loss == OnLoss::Refuse && context.lost() > before {
                    // It says what is lost.
                    reader.get(gap.first)?;
                }
                wants_more
            }
        };
        if !wants_more {
            break;
        }
        if context.bytes() > limit {
            return Ok(None);
        }
    }
    Ok((context.bytes() <= limit).then(|| context.into_said()))
}
