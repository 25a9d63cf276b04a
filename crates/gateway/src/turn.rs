//! A turn: a message comes, a model answers, the answer is appended.
//!
//! 1. The message is stored, durable, under the turn's key, before any model is called.
//! 2. The context is read: what was said up to now, and the message at its end. The last record of the
//!    journal is the *mark*.
//! 3. The model is called. Nothing is locked and no handle is held meanwhile, however long it takes.
//! 4. The answer is appended under the condition that nothing but harmless records came since the
//!    mark, in one batch with the intents to deliver it. What else came is judged by the policy.
//! 5. It is delivered.
//!
//! Whoever drops the future before the fourth step leaves the message and nothing else. A turn that
//! did not come to its end, for whatever reason, is finished by running it again with its key: what is
//! stored is not stored again, and an answer that is there is given back.

mod answer;
mod drafts;
mod reading;
mod request;

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use session_journal::{
    AppendOptions, Appended, Cause, ErrorKind, Expect, Mark, NewRecord, Record, Sequence,
    SessionName,
};
use tokio_util::sync::CancellationToken;

use crate::conversation::{CANCELLED, Context, HARMLESS, Lost, MESSAGE, Message, Role, Said};
use crate::failpoint::{Point, pass};
use crate::gaps::{behind, explained, unless_lost};
use crate::hub::{Ask, Hub};
use crate::outbox::{
    Address, Delivery, Intent, Outbox, State, What, durable, intent_records, read,
    without_second_begin,
};
use crate::problem::{Problem, Refusal, Result};
use crate::provider::{Delta, Finish, Provider, ProviderError, Request};
use answer::{Payload, replayed};
use drafts::Drafts;
use reading::intents_behind;
use request::delivery_key;

pub(crate) use reading::walk;
pub(crate) use request::is_reserved;

pub use answer::{Answer, stored};
pub use request::{KEY_BYTES_MAX, OnLoss, Policy, TurnRequest, answer_key, check_key};

/// What a turn may use, and its bounds.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The sessions.
    pub hub: Hub,
    /// Delivers answers.
    pub outbox: Outbox,
    /// The largest context in bytes.
    pub context_bytes_max: usize,
    /// The largest answer in bytes.
    pub answer_bytes_max: usize,
    /// What to do about records of a context that are lost, where a turn does not say.
    pub on_loss: OnLoss,
}

/// Hears what a model says while it says it. It is a draft: what is heard stands in records of the
/// kind [`DRAFT`](crate::conversation::DRAFT), and in no message before the turn has come to its end.
pub trait Listener: Send + Sync {
    /// The model begins, or begins anew: what it said before does not count.
    fn begins(&self) {}
    /// Ends when somebody listens. Until then nothing is stored to be heard.
    fn is_there(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
    /// More text.
    fn hears(&self, _text: &str) {}
}

/// Hears nothing.
impl Listener for () {}

/// A turn and everything that it needs.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    /// What it may use.
    pub tools: &'a Tools,
    /// Who answers.
    pub provider: &'a dyn Provider,
    /// Where.
    pub session: &'a SessionName,
    /// What is asked.
    pub request: &'a TurnRequest,
    /// Whether the session may be taken from another owner to store the message. It is never taken
    /// again for the answer.
    pub ask: Ask,
    /// Hears the draft.
    pub listener: &'a dyn Listener,
    /// Cancels the model, and leaves a record that says so.
    pub cancel: &'a CancellationToken,
}

impl std::fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn")
            .field("session", self.session)
            .field("request", self.request)
            .finish_non_exhaustive()
    }
}

/// What the model is told.
struct Asked {
    /// Nothing was behind it when the context was read.
    mark: Mark,
    context: Arc<[Message]>,
    /// What is lost of it.
    lost: Vec<Lost>,
}

/// What the model said.
struct Thought {
    text: String,
    finish: Finish,
    reruns: u32,
    lost: Vec<Lost>,
}

impl Turn<'_> {
    /// Runs the turn.
    ///
    /// # Errors
    /// As opening, appending and reading answer; `conflict` by policy; `provider`; `cancelled`;
    /// `invalid` where the key was used for another message. An answer that was not stored is in the
    /// problem's `answer`.
    pub async fn run(self) -> Result<Answer> {
        self.request.check(&self.tools.outbox)?;
        pass(Point::Received);
        let before = self.accept().await?;
        pass(Point::Stored);
        let answer = match before {
            Some(answer) => answer,
            None => self.answer().await?,
        };
        pass(Point::AnswerStored);
        Ok(Answer { deliveries: self.deliver(&answer).await?, ..answer })
    }

    // ---- the message -----------------------------------------------------------------------

    /// Stores the message, unless it is there; the answer, where the turn came to its end before.
    async fn accept(&self) -> Result<Option<Answer>> {
        let appended = match self.store_message(false).await {
            Err(problem) if problem.kind() == Some(ErrorKind::Unknown) => {
                // The message is lost, or was never there: an answer tells.
                if let Some(answer) = self.answer_that_is_there().await? {
                    return Ok(Some(answer));
                }
                if !self.request.ignore_gaps {
                    return Err(self.explained(problem).await);
                }
                self.store_message(true).await?
            }
            stored => stored?,
        };
        if !appended.duplicate {
            return Ok(None);
        }
        let message_at = appended.sequence.get();
        let answer = answer_key(&self.request.key);
        let found = read(&self.tools.hub, self.session, move |reader| {
            let message = reader.get(Sequence::new(message_at))?;
            Ok((message, behind(reader, message_at, reader.by_key(&answer))))
        });
        let (stored, answer) = found.await?;
        if !stored.is_some_and(|stored| self.is_its_message(&stored)) {
            let what = "the key was used for something else; use a new one";
            return Err(Problem::invalid(what).about(self.session));
        }
        let answer = match answer.map_err(|error| Problem::from(error).about(self.session)) {
            Err(problem) if problem.kind() == Some(ErrorKind::Unknown) => {
                if !self.request.ignore_gaps {
                    return Err(self.explained(problem).await);
                }
                None
            }
            found => found?,
        };
        let answer = answer.map(|answer| replayed(&answer)).transpose();
        answer.map_err(|problem| problem.about(self.session))
    }

    async fn store_message(&self, ignore_gaps: bool) -> Result<Appended> {
        let TurnRequest { key, message, parent, .. } = self.request;
        let mut record = NewRecord::new(message.to_payload()).kind(MESSAGE).key(key);
        record.parent.clone_from(parent);
        let options = AppendOptions { ignore_gaps, ..durable() };
        let appended = self.tools.hub.append(self.session, vec![record], options, self.ask).await?;
        Ok(appended[0])
    }

    async fn answer_that_is_there(&self) -> Result<Option<Answer>> {
        let key = answer_key(&self.request.key);
        let found =
            read(&self.tools.hub, self.session, move |reader| unless_lost(reader.by_key(&key)));
        let answer = found.await?.map(|record| replayed(&record)).transpose();
        answer.map_err(|problem| problem.about(self.session))
    }

    async fn explained(&self, problem: Problem) -> Problem {
        let key = &self.request.key;
        let keys = vec![key.clone(), answer_key(key)];
        explained(&self.tools.hub, self.session, keys, problem).await
    }

    fn is_its_message(&self, stored: &Record) -> bool {
        stored.kind.as_deref() == Some(MESSAGE)
            && stored.parent == self.request.parent
            && Message::of(stored).as_ref() == Some(&self.request.message)
    }

    // ---- the answer ------------------------------------------------------------------------

    async fn answer(&self) -> Result<Answer> {
        let mut reruns = 0;
        loop {
            let Asked { mark, context, lost } = self.context().await?;
            pass(Point::ContextRead);
            let (text, finish) = self.think(context, reruns + 1).await?;
            pass(Point::Answered);
            let said = Thought { text, finish, reruns, lost };
            let conflict = match self.store(&said, self.unless_came(mark)).await {
                Err(problem) if problem.kind() == Some(ErrorKind::Conflict) => problem,
                stored => return stored.map_err(|problem| with_text(problem, &said)),
            };
            match self.policy() {
                Policy::GoOn => return self.go_on(&said, &conflict).await,
                Policy::Rerun if reruns < self.request.reruns_max => reruns += 1,
                Policy::Rerun | Policy::Tell => return Err(with_text(conflict, &said)),
            }
        }
    }

    /// On a branch of its own nothing that came changes the context.
    fn policy(&self) -> Policy {
        match self.request.policy {
            Policy::Rerun if self.request.parent.is_some() => Policy::GoOn,
            policy => policy,
        }
    }

    /// What was said up to now, with the message to be answered at its end; on a branch of its own,
    /// what leads to the message.
    async fn context(&self) -> Result<Asked> {
        let TurnRequest { key, parent, on_loss, .. } = self.request.clone();
        let limit = self.tools.context_bytes_max;
        let on_loss = on_loss.unwrap_or(self.tools.on_loss);
        let found = read(&self.tools.hub, self.session, move |reader| {
            let context = match parent {
                Some(_) => Context::at_key(&key),
                None => Context::at_end(),
            };
            Ok((reader.mark(), walk(reader, context, limit, on_loss)?))
        });
        let (mark, said) = found.await?;
        let mut said = said.ok_or_else(|| {
            let what = format!("the context is above {limit} bytes; compact the session");
            Problem::new(Refusal::TooLarge, what).about(self.session).with("limit", limit)
        })?;
        let is_asked = |one: &Said| one.key.as_ref() == Some(&self.request.key);
        match said.iter().position(is_asked) {
            Some(at) => said[at..].rotate_left(1),
            // A compaction that came since stands for it.
            None => said.push(self.asked()),
        }
        let lost: Vec<Lost> = said.iter().filter_map(|said| said.lost).collect();
        if !lost.is_empty() {
            self.tell_of(&lost);
        }
        let is_told = |said: &Said| said.lost.is_none() || on_loss == OnLoss::Note;
        let context = said.into_iter().filter(is_told).map(|said| said.message).collect();
        Ok(Asked { mark, context, lost })
    }

    fn tell_of(&self, lost: &[Lost]) {
        let records: u64 = lost.iter().map(|lost| lost.to - lost.from + 1).sum();
        self.tools.hub.metrics().contexts_with_loss.inc();
        let (session, key, from) = (self.session, &self.request.key, lost[0].from);
        tracing::warn!(%session, key, records, from, "the context leaves out what is lost");
    }

    fn asked(&self) -> Said {
        let TurnRequest { key, message, .. } = self.request.clone();
        Said { sequence: 0, key: Some(key), message, lost: None }
    }

    /// Calls the model. Dropping this cancels it.
    async fn think(&self, context: Arc<[Message]>, begun: u32) -> Result<(String, Finish)> {
        let TurnRequest { key, model, .. } = self.request;
        let request = Request { turn: key.clone(), context, model: model.clone() };
        let listening = self.listen(request, Drafts::new(self, begun));
        let listened = tokio::select! {
            biased;
            () = self.cancel.cancelled() => None,
            listened = listening => Some(listened),
        };
        match listened {
            Some(listened) => listened.map_err(|error| self.no_answer(&error)),
            None => Err(self.cancelled().await),
        }
    }

    async fn listen(
        &self,
        request: Request,
        mut drafts: Drafts<'_>,
    ) -> Result<(String, Finish), ProviderError> {
        let mut deltas = self.provider.complete(request);
        let (limit, mut text) = (self.tools.answer_bytes_max, String::new());
        pass(Point::Answering);
        loop {
            let delta = tokio::select! {
                delta = deltas.next() => delta,
                () = drafts.due() => {
                    drafts.tell().await;
                    continue;
                }
            };
            match delta.transpose()? {
                Some(Delta::Text(more)) if text.len() + more.len() > limit => {
                    return Err(ProviderError::TooLong { limit });
                }
                Some(Delta::Text(more)) => {
                    drafts.says(&more);
                    text.push_str(&more);
                }
                Some(Delta::End(finish)) => return Ok((text, finish)),
                None => return Err(ProviderError::Cut("it ended before its end".to_owned())),
            }
        }
    }

    fn no_answer(&self, error: &ProviderError) -> Problem {
        let provider = self.provider.name();
        tracing::warn!(session = %self.session, provider, %error, "no answer");
        Problem::new(Refusal::Provider, error.to_string())
            .about(self.session)
            .with("provider", provider)
            .with("may_pass", error.may_pass())
    }

    /// Leaves a record of it; where even that is not possible, the session is as it was.
    async fn cancelled(&self) -> Problem {
        let payload = serde_json::json!({ "turn": self.request.key }).to_string();
        let record = NewRecord::new(payload).kind(CANCELLED);
        let recorded =
            self.tools.hub.append(self.session, vec![record], durable(), Ask::default()).await;
        if let Err(problem) = recorded {
            tracing::info!(session = %self.session, %problem, "a cancelled turn left no record");
        }
        Problem::new(Refusal::Cancelled, "the turn was cancelled").about(self.session)
    }

    // ---- storing it ------------------------------------------------------------------------

    fn unless_came(&self, mark: Mark) -> Expect {
        let own = HARMLESS.into_iter().map(str::to_owned);
        Expect::OnlyKindsSince(mark, own.chain(self.request.harmless.iter().cloned()).collect())
    }

    async fn store(&self, said: &Thought, expect: Expect) -> Result<Answer> {
        let TurnRequest { key, parent, deliver, .. } = self.request;
        let provider = self.provider.name().to_owned();
        let message = Message {
            reply_to: Some(key.clone()),
            ..Message::text_of(Role::Assistant, &said.text)
        };
        let (finish, reruns) = (said.finish.clone(), said.reruns);
        let lost = said.lost.clone();
        let payload = Payload { message, provider: provider.clone(), finish, reruns, lost };
        let answer = NewRecord::new(serde_json::to_vec(&payload).unwrap_or_default());
        let mut answer = answer.kind(MESSAGE).key(answer_key(key));
        answer.parent = parent.as_ref().map(|_| key.clone());
        // Whether a lost record may be it was looked into when the message was accepted.
        let options = AppendOptions { expect, ignore_gaps: true, ..durable() };
        let records = [answer].into_iter().chain(self.intents(deliver).await?).collect();
        let stored = self.tools.hub.append(self.session, records, options, Ask::default()).await?;
        Ok(Answer {
            key: answer_key(key),
            seq: stored[0].sequence.get(),
            text: said.text.clone(),
            provider,
            finish: payload.finish,
            reruns,
            lost: payload.lost,
            came: Vec::new(),
            replayed: stored[0].duplicate,
            deliveries: Vec::new(),
        })
    }

    /// One batch with the answer: it is never there without them.
    async fn intents(&self, deliver: &[Address]) -> Result<Vec<NewRecord>> {
        let mut records = Vec::new();
        if deliver.is_empty() {
            return Ok(records);
        }
        for (number, address) in deliver.iter().enumerate() {
            let what = What::Of(answer_key(&self.request.key));
            let intent = Intent { address: address.clone(), what };
            let of_one = intent_records(&delivery_key(&self.request.key, number), &intent);
            // The first of them says only that there are deliveries.
            records.extend(of_one.into_iter().skip(usize::from(number > 0)));
        }
        without_second_begin(&self.tools.hub, self.session, records).await
    }

    async fn go_on(&self, said: &Thought, conflict: &Problem) -> Result<Answer> {
        let stored = self.store(said, Expect::Anything).await;
        let came = match conflict.engine().map(session_journal::Error::cause) {
            Some(Cause::Conflict { came, .. }) => came.clone(),
            _ => Vec::new(),
        };
        stored.map(|answer| Answer { came, ..answer }).map_err(|problem| with_text(problem, said))
    }

    /// Where somebody waits for the answer who did not ask for it here, it learns that there is none; once,
    /// however often the turn fails. Whoever cancelled the turn or took the session knows of it.
    pub(crate) async fn tell_of_failure(&self, problem: &Problem) {
        let known = ["cancelled", "shutting-down", "fenced", "held-by"].contains(&problem.code());
        let Some(address) = self.request.failure_to.clone().filter(|_| !known) else { return };
        let (session, key) = (self.session, format!("{}/failed", self.request.key));
        let text = format!("{session} gave no answer. Begin it again with its key.");
        let intent = Intent { address, what: What::Message(Message::text_of(Role::User, text)) };
        if let Err(problem) = self.tools.outbox.send(session, &key, &intent, Ask::default()).await {
            tracing::warn!(%session, key, %problem, "nobody hears that there is no answer");
        }
    }

    // ---- delivering it ---------------------------------------------------------------------

    /// Delivers what the stored intents say, which are those of the turn's first success.
    async fn deliver(&self, answer: &Answer) -> Result<Vec<Delivery>> {
        let (key, answer_at) = (self.request.key.clone(), answer.seq);
        let intents = read(&self.tools.hub, self.session, move |reader| {
            intents_behind(reader, &key, answer_at)
        });
        let mut deliveries = Vec::new();
        for ((key, intent), number) in intents.await?.into_iter().zip(0..) {
            let asked = || self.request.deliver.get(number).cloned();
            let Some(address) = intent.as_ref().map(|one| one.address.clone()).or_else(asked)
            else {
                break;
            };
            let delivered = match intent {
                Some(_) => self.tools.outbox.deliver(self.session, &key).await,
                None => self.deliver_anew(&key, address.clone()).await,
            };
            // The answer is stored, and whoever has the session now delivers it.
            deliveries.push(delivered.unwrap_or_else(|problem| {
                let why = problem.code().to_owned();
                Delivery { key, address, state: State::Pending { why } }
            }));
        }
        Ok(deliveries)
    }

    /// Its intent may be lost. A sink that has it knows the key.
    async fn deliver_anew(&self, key: &str, address: Address) -> Result<Delivery> {
        let intent = Intent { address, what: What::Of(answer_key(&self.request.key)) };
        self.tools.outbox.send(self.session, key, &intent, Ask::default()).await
    }
}

/// What the model said goes back to who asked, for it is stored nowhere.
fn with_text(problem: Problem, said: &Thought) -> Problem {
    problem.with("answer", said.text.clone())
}
