//! What a driver said: a line of JSON for everything that it tried, and for every answer.

use std::path::Path;

use serde_json::Value;

use crate::spec::Spec;

/// A record that was acknowledged.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What was appended.
    pub spec: Spec,
    /// The number that it was given.
    pub sequence: u64,
    /// The generation that wrote it.
    pub generation: u64,
    /// Whether it was acknowledged as durable.
    pub durable: bool,
    /// Whether its key was there already.
    pub duplicate: bool,
}

/// Everything that one driver or several said.
#[derive(Clone, Debug, Default)]
pub struct Acks {
    /// Acknowledged records, in order.
    pub stored: Vec<Stored>,
    /// Batches without an answer: they may be stored or not.
    pub unknown: Vec<Vec<Spec>>,
    /// Refusals: their codes, with what else the driver said of them.
    pub errors: Vec<Value>,
    /// Openings, as the drivers reported them.
    pub opened: Vec<Value>,
}

impl Acks {
    /// Reads one driver's lines. A last line that was cut short was never said.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let mut acks = Self::default();
        acks.take(path);
        acks
    }

    /// Adds the lines of another driver.
    pub fn take(&mut self, path: &Path) {
        self.take_text(&std::fs::read_to_string(path).unwrap_or_default());
    }

    /// Adds lines that a driver had said until some moment.
    pub fn take_text(&mut self, text: &str) {
        let mut pending: Option<Vec<Spec>> = None;
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let said: Value = serde_json::from_str(line).expect("a driver writes whole lines");
            match said["event"].as_str() {
                Some("opened") => self.opened.push(said),
                Some("try") => {
                    // What was tried before has no answer and never will.
                    self.unknown.extend(pending.replace(specs(&said)));
                }
                Some("stored") => self.acknowledge(&said, pending.take().unwrap_or_default()),
                Some("error") => {
                    let pending = pending.take();
                    if said["code"] == "unknown" {
                        self.unknown.extend(pending);
                    }
                    self.errors.push(said);
                }
                _ => {}
            }
        }
        self.unknown.extend(pending);
    }

    /// Adds what the shipped program said, in JSON, of lines that it was fed; it was killed perhaps.
    /// What has no answer may be stored or not, each line for itself.
    pub fn take_program(&mut self, ids: impl Iterator<Item = String>, answers: &Path) {
        let text = std::fs::read_to_string(answers).unwrap_or_default();
        let mut answers = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        for id in ids {
            let spec = Spec { id, size: 0, keyed: true };
            let Some(answer) = answers.next() else {
                self.unknown.push(vec![spec]);
                continue;
            };
            let answer: Value = serde_json::from_str(answer).expect("an answer is JSON");
            self.stored.push(Stored {
                spec,
                sequence: answer["seq"].as_u64().expect("a sequence"),
                generation: answer["generation"].as_u64().expect("a generation"),
                durable: answer["durable"] == true,
                duplicate: answer["duplicate"] == true,
            });
        }
    }

    fn acknowledge(&mut self, said: &Value, specs: Vec<Spec>) {
        let answers = said["answers"].as_array().expect("an answer per record");
        assert_eq!(answers.len(), specs.len(), "{said}");
        for (spec, answer) in specs.into_iter().zip(answers) {
            self.stored.push(Stored {
                spec,
                sequence: answer["sequence"].as_u64().expect("a sequence"),
                generation: answer["generation"].as_u64().expect("a generation"),
                durable: answer["durable"] == true,
                duplicate: answer["duplicate"] == true,
            });
        }
    }

    /// The codes of all refusals.
    #[must_use]
    pub fn codes(&self) -> Vec<&str> {
        self.errors.iter().filter_map(|said| said["code"].as_str()).collect()
    }
}

fn specs(said: &Value) -> Vec<Spec> {
    let texts = said["specs"].as_array().expect("specs").iter().filter_map(Value::as_str);
    texts.map(|text| text.parse().expect("a spec")).collect()
}
