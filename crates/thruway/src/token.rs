//! `thruway token`: who may use the API over TCP.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand};
use thruway_api::time_text;
use thruway_tokens::{Role, Tokens, check_time};

/// Seconds of a day.
const DAY: u64 = 86_400;

/// `thruway token`.
#[derive(Args, Debug)]
pub struct TokenArgs {
    /// The file that `api-tokens` names
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        default_value = "/etc/thruway/tokens.toml"
    )]
    file: PathBuf,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Make a token and print it: nobody can tell it again. The server takes it after `thruway reload`.
    Add {
        /// Whose it is
        name: String,
        /// read, operate (reset, switch) or admin (reload, rollback)
        #[arg(long, default_value = "read")]
        role: Role,
        /// Until when: a moment as 2027-01-01T00:00:00Z, or days as 90d
        #[arg(long, value_name = "WHEN", value_parser = moment)]
        expires: Option<String>,
        /// No token, but this client's certificate (PEM), which a CA of `api-client-ca` signed
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
    },
    /// The tokens, without what they are.
    List,
    /// Take a token away. The server forgets it after `thruway reload`.
    Revoke {
        /// Whose
        name: String,
    },
}

fn moment(text: &str) -> Result<String, String> {
    let days = text
        .strip_suffix('d')
        .and_then(|days| days.parse::<u64>().ok());
    match days {
        Some(days) => {
            let span = Duration::from_secs(days.saturating_mul(DAY));
            let end = SystemTime::now().checked_add(span);
            Ok(time_text(end.ok_or("that is too far away")?))
        }
        None => match check_time(text) {
            Ok(()) => Ok(text.to_owned()),
            Err(why) => Err(format!("{why}, or days as 90d")),
        },
    }
}

/// Runs `thruway token`.
///
/// # Errors
/// What is wrong with the file or the name.
pub fn token(args: &TokenArgs) -> Result<()> {
    let _alone = match args.what {
        What::List => None,
        _ => Some(thruway_tokens::alone(&args.file)?),
    };
    let mut tokens = match args.file.try_exists() {
        Ok(false) if matches!(args.what, What::Add { .. }) => Tokens::default(),
        _ => Tokens::load(&args.file)?,
    };
    let mut out = std::io::stdout().lock();
    match &args.what {
        What::Add {
            name,
            role,
            expires,
            certificate,
        } => {
            let secret = match certificate {
                None => Some(tokens.add(name, *role, expires.clone())),
                Some(file) => {
                    let sha256 = thruway_tls::fingerprint_of(file)?;
                    let added = tokens.add_certificate(name, *role, expires.clone(), sha256);
                    added.map_err(|why| anyhow!(why))?;
                    None
                }
            };
            let secret = secret.transpose().map_err(|why| anyhow!(why))?;
            tokens.save(&args.file)?;
            if expires
                .as_deref()
                .is_some_and(|at| at <= &*time_text(SystemTime::now()))
            {
                let _ = writeln!(std::io::stderr(), "warning: it has expired already");
            }
            if args.json {
                let value = serde_json::json!({ "name": name, "role": role, "expires": expires, "token": secret });
                writeln!(out, "{value}")?;
            } else if let Some(secret) = secret {
                writeln!(out, "{secret}")?;
            }
        }
        What::List => list(&tokens, args.json, &mut out)?,
        What::Revoke { name } => {
            if !tokens.revoke(name) {
                bail!("{}: there is no token {name}", args.file.display());
            }
            tokens.save(&args.file)?;
            if args.json {
                writeln!(out, "{}", serde_json::json!({ "revoked": name }))?;
            }
        }
    }
    Ok(())
}

fn list(tokens: &Tokens, json: bool, out: &mut impl Write) -> Result<()> {
    let now = time_text(SystemTime::now());
    if json {
        let rows = tokens.list.iter().map(|token| {
            serde_json::json!({
                "name": token.name,
                "role": token.role,
                "expires": token.expires,
                "expired": token.has_expired(&now),
                "certificate": token.certificate,
            })
        });
        writeln!(out, "{}", serde_json::Value::from_iter(rows))?;
        return Ok(());
    }
    for token in &tokens.list {
        let until = match &token.expires {
            None => "never expires".to_owned(),
            Some(at) if token.has_expired(&now) => format!("expired at {at}"),
            Some(at) => format!("until {at}"),
        };
        let what = if token.certificate {
            "certificate"
        } else {
            "token"
        };
        let (name, role) = (&token.name, token.role.as_str());
        writeln!(out, "{name:<20} {role:<8} {what:<11} {until}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_days_or_written_out() {
        assert_eq!(
            moment("2027-01-01T00:00:00Z").as_deref(),
            Ok("2027-01-01T00:00:00Z")
        );
        assert!(moment("0d").is_ok_and(|at| at <= time_text(SystemTime::now())));
        assert!(moment("90d").is_ok_and(|at| at > time_text(SystemTime::now())));
        assert!(moment("tomorrow").is_err());
    }
}
