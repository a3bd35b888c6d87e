//! Who asks, and what they may.

use std::fmt;

use axum::http::{HeaderMap, Method, StatusCode, header};
use thruway_tokens::{Role, Tokens, Unwelcome};

use super::server::RouteServer;

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// As the log and the history name them.
    name: String,
    role: Role,
}

impl Asker {
    pub(super) fn new(name: String, role: Role) -> Self {
        Asker { name, role }
    }

    pub(super) fn may(&self, needed: Role) -> bool {
        self.role >= needed
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Why somebody may not.
pub(super) struct Stopped {
    pub(super) status: StatusCode,
    pub(super) why: String,
}

/// Who asks over TCP: whoever shows a token or a certificate, and from the machine itself anybody who only reads, where there are
/// no tokens.
pub(super) fn over_tcp(
    server: &dyn RouteServer,
    from: &str,
    certificate: Option<&str>,
    headers: &HeaderMap,
    now: &str,
) -> Result<Asker, Stopped> {
    let tokens = server.tokens();
    if let Some(sha256) = certificate
        && !headers.contains_key(header::AUTHORIZATION)
    {
        return certified(tokens.as_deref(), from, sha256, now);
    }
    let Some(tokens) = tokens else {
        // The address is one of the machine's own: others are refused at the start.
        return Ok(Asker::new(from.to_owned(), Role::Read));
    };
    let stopped = |why: &str| Stopped {
        status: StatusCode::UNAUTHORIZED,
        why: why.to_owned(),
    };
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(first), None) = (shown.next(), shown.next()) else {
        return Err(stopped(
            "a token is needed: Authorization: Bearer TOKEN (`thruway token add` makes one)",
        ));
    };
    let text = first.to_str().unwrap_or_default();
    let secret = text
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, secret)| secret.trim());
    let secret = secret.ok_or_else(|| stopped("Authorization names no bearer token"))?;
    match tokens.find(secret, now) {
        Ok(token) => Ok(Asker::new(
            format!("{} from {from}", token.name),
            token.role,
        )),
        Err(Unwelcome::Expired) => Err(stopped("the token has expired")),
        Err(Unwelcome::Unknown) => Err(stopped("nobody knows this token")),
    }
}

/// Who shows a certificate of a CA that is believed: it may read, and more where the file of tokens says so.
fn certified(
    tokens: Option<&Tokens>,
    from: &str,
    sha256: &str,
    now: &str,
) -> Result<Asker, Stopped> {
    let known = tokens.map(|tokens| tokens.find_certificate(sha256, now));
    match known {
        Some(Ok(token)) => {
            let name = format!("{} from {from}", token.name);
            Ok(Asker::new(name, token.role))
        }
        Some(Err(Unwelcome::Expired)) => Err(Stopped {
            status: StatusCode::UNAUTHORIZED,
            why: "the certificate's time in the file of tokens is over".to_owned(),
        }),
        Some(Err(Unwelcome::Unknown)) | None => {
            let short = sha256.get(..16).unwrap_or(sha256);
            let name = format!("certificate {short} from {from}");
            Ok(Asker::new(name, Role::Read))
        }
    }
}

/// What a request takes.
pub(super) fn needed(method: &Method, path: &str) -> Role {
    let asks = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    match path {
        // It holds what the configuration holds, keys included.
        "/v1/configuration" => Role::Admin,
        _ if asks => Role::Read,
        // They change nothing.
        "/v1/plan" | "/v1/check" => Role::Read,
        "/v1/exchange" => Role::Operate,
        path if path.starts_with("/v1/peers/") => Role::Operate,
        _ => Role::Admin,
    }
}

/// A user's name and number.
pub(super) fn user_name(uid: u32) -> String {
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    match name {
        Some(name) => format!("{name} (uid {uid})"),
        None => format!("uid {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_request_takes() {
        for (method, path, role) in [
            (Method::GET, "/v1/peers", Role::Read),
            (Method::GET, "/metrics", Role::Read),
            (Method::GET, "/v1/configuration", Role::Admin),
            (Method::HEAD, "/v1/configuration", Role::Admin),
            (Method::POST, "/v1/plan", Role::Read),
            (Method::POST, "/v1/peers/c1/reset", Role::Operate),
            (Method::POST, "/v1/exchange", Role::Operate),
            (Method::POST, "/v1/reload", Role::Admin),
            (Method::POST, "/v1/rollback", Role::Admin),
            (Method::POST, "/v1/confirm", Role::Admin),
            (Method::DELETE, "/v1/anything", Role::Admin),
        ] {
            assert_eq!(needed(&method, path), role, "{method} {path}");
        }
    }

    #[test]
    fn roles_are_an_order_and_users_have_names() {
        let may = |role: Role, needed: Role| Asker::new(String::new(), role).may(needed);
        assert!(may(Role::Admin, Role::Operate) && may(Role::Operate, Role::Read));
        assert!(!may(Role::Read, Role::Operate) && !may(Role::Operate, Role::Admin));
        assert_eq!(user_name(0), "root (uid 0)");
        assert_eq!(user_name(4_000_000_000), "uid 4000000000");
    }
}
