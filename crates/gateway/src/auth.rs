//! Who asks, and what that one may do: bearer tokens, of which only hashes are known here.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use session_journal::SessionName;
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::config::{Scope, Token};
use crate::problem::{Problem, Refusal, Result};

/// The tokens that are known. Clones share them.
#[derive(Clone, Debug)]
pub struct Auth {
    tokens: Arc<[Known]>,
}

#[derive(Debug)]
struct Known {
    hash: [u8; 32],
    token: Arc<Token>,
}

/// Who asks. Without tokens on loopback everybody may do everything.
#[derive(Clone, Debug)]
pub struct Visitor {
    token: Option<Arc<Token>>,
}

impl Auth {
    /// Knows these tokens. One whose hash is none matches nothing.
    #[must_use]
    pub fn new(tokens: &[Token]) -> Self {
        let known = tokens.iter().filter_map(|token| {
            Some(Known { hash: token.hash()?, token: Arc::new(token.clone()) })
        });
        Self { tokens: known.collect() }
    }

    /// Who sent these headers.
    ///
    /// # Errors
    /// `unauthorized` where there are tokens, and none of them was sent.
    pub fn visitor(&self, headers: &HeaderMap) -> Result<Visitor> {
        if self.tokens.is_empty() {
            return Ok(Visitor { token: None });
        }
        let refused = |why| Problem::new(Refusal::Unauthorized, why);
        let sent = bearer(headers).ok_or_else(|| refused("no bearer token was sent"))?;
        let token = self.find(sent).ok_or_else(|| refused("the token is not known here"))?;
        Ok(Visitor { token: Some(token) })
    }

    /// Compares with every token, in the same time whichever it is and however much of it fits.
    fn find(&self, sent: &[u8]) -> Option<Arc<Token>> {
        let sent: [u8; 32] = Sha256::digest(sent).into();
        let mut found = u32::MAX;
        for (at, known) in (0_u32..).zip(self.tokens.iter()) {
            found.conditional_assign(&at, known.hash.ct_eq(&sent));
        }
        let known = usize::try_from(found).ok().and_then(|at| self.tokens.get(at))?;
        Some(Arc::clone(&known.token))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

impl Visitor {
    /// The name of its token.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.token.as_ref().map(|token| token.name.as_str())
    }

    /// Whether it may do this at all, with some agent's sessions.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        self.token.as_ref().is_none_or(|token| token.scopes.contains(&scope))
    }

    /// Whether the sessions of this agent are its to see. Those that have no agent are for whoever
    /// reaches all.
    #[must_use]
    pub fn reaches(&self, agent: Option<&str>) -> bool {
        let reaches = |known: &String| known == "*" || Some(known.as_str()) == agent;
        self.token.as_ref().is_none_or(|token| token.agents.iter().any(reaches))
    }

    /// Must be allowed to do this, with some agent's sessions.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn must(&self, scope: Scope) -> Result<()> {
        if self.has(scope) {
            return Ok(());
        }
        let what = format!("the token has not the scope {}", scope.as_str());
        Err(Problem::new(Refusal::Forbidden, what))
    }

    /// Must be allowed to do this with this session. Whether it exists is not looked at.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn must_reach(&self, scope: Scope, name: &SessionName) -> Result<()> {
        self.must(scope)?;
        if self.reaches(name.agent()) {
            return Ok(());
        }
        let what = "the token does not reach the sessions of this agent";
        Err(Problem::new(Refusal::Forbidden, what).about(name))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn token(name: &str, secret: &str, agents: &[&str], scopes: &[Scope]) -> Token {
        let hash: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        Token {
            name: name.to_owned(),
            sha256: hash.iter().fold(String::new(), |text, byte| text + &format!("{byte:02X}")),
            agents: agents.iter().map(|&agent| agent.to_owned()).collect(),
            scopes: scopes.to_vec(),
        }
    }

    fn headers(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))])
    }

    fn auth() -> Auth {
        Auth::new(&[
            token("first", "one", &["a"], &[Scope::Read]),
            token("second", "two", &["*"], &[Scope::Read, Scope::Write]),
        ])
    }

    #[test]
    fn each_token_is_found_and_nothing_else_is() {
        let auth = auth();
        let name = |value| auth.visitor(&headers(value)).map(|v| v.name().map(str::to_owned));
        let some = |name: &str| Some(Some(name.to_owned()));
        assert_eq!(name("Bearer one").ok(), some("first"));
        assert_eq!(name("bearer two").ok(), some("second"));
        for wrong in ["Bearer ", "Bearer on", "Bearer one ", "Bearer  one", "Basic one", "one", ""]
        {
            assert_eq!(name(wrong).expect_err(wrong).code(), "unauthorized");
        }
        assert!(auth.visitor(&HeaderMap::new()).is_err());
    }

    #[test]
    fn a_token_reaches_its_agents_and_no_others() {
        let auth = auth();
        let first = auth.visitor(&headers("Bearer one")).expect("known");
        assert!(first.reaches(Some("a")));
        assert!(!first.reaches(Some("b")) && !first.reaches(None) && !first.reaches(Some("*")));
        let second = auth.visitor(&headers("Bearer two")).expect("known");
        assert!(second.reaches(Some("a")) && second.reaches(None));
        assert!(second.has(Scope::Write) && !first.has(Scope::Write) && !second.has(Scope::Admin));
    }

    #[test]
    fn without_tokens_everybody_may_do_everything() {
        let visitor = Auth::new(&[]).visitor(&HeaderMap::new()).expect("let in");
        assert!(visitor.reaches(None) && visitor.has(Scope::Admin));
    }
}
