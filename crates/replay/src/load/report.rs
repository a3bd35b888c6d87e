//! What a run found, for people and for programs.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// The outcome of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Which transport the tool itself used.
    pub transport: String,
    /// Seconds until all sessions were up, from the first attempt to connect.
    pub sessions_seconds: f64,
    /// Sessions that sent.
    pub senders: usize,
    /// Sessions that took the table back.
    pub receivers: usize,
    /// What all senders sent, until the kernel had the last octet.
    pub sent: Flow,
    /// What all receivers got, until the last prefix.
    pub received: Flow,
    /// Seconds from the first octet sent until the last receiver had the last prefix; `None` where
    /// one of them never had all.
    pub convergence_seconds: Option<f64>,
    /// Seconds of CPU that the tool itself used meanwhile.
    pub cpu_seconds: f64,
    /// From the sending of a prefix to its arrival, over probes.
    pub latency: Option<Latency>,
    /// How the receivers' tables differ from what was sent; `None` where nothing was compared.
    pub differences: Option<Differences>,
    /// Updates under constant load, where that was asked for.
    pub churn: Option<Churn>,
    /// Members that took everything back and told it again, where that was asked for.
    pub flap: Option<Flap>,
    /// The same load against a relay in the tool itself, where that was asked for.
    pub ceiling: Option<Box<Report>>,
    /// NLRI that could not be sent: a family that is not spoken, attributes too large.
    pub unsendable: u64,
    /// Sessions that failed, and other trouble. Empty in a good run.
    pub failures: Vec<Failure>,
    /// Things worth knowing that are no failure.
    pub notes: Vec<String>,
}

/// One direction's traffic.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Flow {
    /// Prefixes announced or withdrawn.
    pub prefixes: u64,
    /// UPDATEs.
    pub messages: u64,
    /// Octets, headers included.
    pub bytes: u64,
    /// From the first octet sent.
    pub seconds: f64,
    /// Prefixes a second.
    pub prefixes_per_second: f64,
}

impl Flow {
    pub(crate) fn new(prefixes: u64, messages: u64, bytes: u64, time: Duration) -> Self {
        let seconds = time.as_secs_f64();
        let prefixes_per_second = if seconds > 0.0 {
            prefixes as f64 / seconds
        } else {
            0.0
        };
        Flow {
            prefixes,
            messages,
            bytes,
            seconds,
            prefixes_per_second,
        }
    }
}

/// A distribution of times, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Samples.
    pub count: u64,
    /// The smallest.
    pub min_us: u64,
    /// Half of them are no larger.
    pub p50_us: u64,
    /// Nine in ten are no larger.
    pub p90_us: u64,
    /// 99 in 100 are no larger.
    pub p99_us: u64,
    /// 999 in 1000 are no larger.
    pub p999_us: u64,
    /// The largest.
    pub max_us: u64,
}

impl Latency {
    pub(crate) fn of(histogram: &hdrhistogram::Histogram<u64>) -> Option<Self> {
        (!histogram.is_empty()).then(|| Latency {
            count: histogram.len(),
            min_us: histogram.min(),
            p50_us: histogram.value_at_quantile(0.5),
            p90_us: histogram.value_at_quantile(0.9),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
        })
    }
}

/// How tables differ, over all receivers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Differences {
    /// Prefixes compared.
    pub checked: u64,
    /// Sent, but not there.
    pub missing: u64,
    /// There, but never sent, or withdrawn.
    pub unexpected: u64,
    /// There with attributes that nobody sent for them.
    pub changed: u64,
    /// There by a path that another offered one beats: a longer AS path, or a worse ORIGIN. Counted
    /// only where that was asked for.
    pub not_best: u64,
    /// Told to the one who sent them: no difference, since every speaker drops what its own AS is
    /// in, but octets for nothing.
    pub reflected: u64,
    /// Prefixes that a community kept back (RFC 1997), and that are not there.
    pub held_back: u64,
    /// Some of them.
    pub examples: Vec<Difference>,
}

impl Differences {
    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.missing + self.unexpected + self.changed + self.not_best
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Who sees it.
    pub receiver: String,
    /// The prefix.
    pub prefix: String,
    /// `missing`, `unexpected`, `changed` or `not best`.
    pub kind: &'static str,
    /// The attributes that were sent, one of the offers where there are several.
    pub sent: Option<String>,
    /// The attributes that arrived.
    pub received: Option<String>,
}

/// Constant updates.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Churn {
    /// Updates sent, each one attribute set with its prefixes.
    pub updates: u64,
    /// Prefixes in them.
    pub prefixes: u64,
    /// Updates that did not reach every receiver in time.
    pub lost: u64,
    /// How long it went on.
    pub seconds: f64,
    /// Updates a second.
    pub updates_per_second: f64,
    /// Prefixes a second.
    pub prefixes_per_second: f64,
    /// From the sending of an update to its arrival at the last receiver.
    pub latency: Option<Latency>,
    /// The same for updates of a calm neighbour, where there was one.
    pub calm: Option<Latency>,
}

/// Members that take everything back, and then tell it again.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Flap {
    /// Members that did.
    pub members: usize,
    /// Prefixes that they told.
    pub prefixes: u64,
    /// From the first withdrawal sent until the last receiver had the last one.
    pub withdraw_seconds: Option<f64>,
    /// From the first announcement sent until the last receiver had the last one.
    pub announce_seconds: Option<f64>,
}

/// Trouble with one session, or with the run as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Whose.
    pub session: String,
    /// What.
    pub error: String,
}

impl Report {
    /// No failure and no difference.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failures.is_empty()
            && self
                .differences
                .as_ref()
                .is_none_or(|differences| differences.total() == 0)
            && self
                .ceiling
                .as_ref()
                .is_none_or(|ceiling| ceiling.is_good())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            senders,
            receivers,
            transport,
            ..
        } = self;
        writeln!(
            f,
            "sessions      {senders} sending, {receivers} receiving ({transport})"
        )?;
        writeln!(f, "sent          {}", self.sent)?;
        if self.receivers > 0 {
            writeln!(f, "received      {}", self.received)?;
            match self.convergence_seconds {
                Some(seconds) => writeln!(f, "convergence   {seconds:.3} s")?,
                None => writeln!(f, "convergence   not reached")?,
            }
        }
        if let Some(latency) = &self.latency {
            writeln!(f, "latency       {latency}")?;
        }
        writeln!(f, "own CPU       {:.3} s", self.cpu_seconds)?;
        if let Some(churn) = &self.churn {
            writeln!(f, "churn         {churn}")?;
        }
        if let Some(flap) = &self.flap {
            writeln!(f, "flap          {flap}")?;
        }
        if self.unsendable > 0 {
            writeln!(f, "not sent      {} prefixes", self.unsendable)?;
        }
        if let Some(differences) = &self.differences {
            write!(f, "{differences}")?;
        }
        for note in &self.notes {
            writeln!(f, "note          {note}")?;
        }
        for Failure { session, error } in &self.failures {
            writeln!(f, "FAILED        {session}: {error}")?;
        }
        if let Some(ceiling) = &self.ceiling {
            writeln!(
                f,
                "\nthe tool's own ceiling, through a relay of its own:\n{ceiling}"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Flow {
            prefixes,
            messages,
            bytes,
            seconds,
            prefixes_per_second,
        } = self;
        let megabytes = *bytes as f64 / 1e6;
        write!(
            f,
            "{prefixes} prefixes in {messages} UPDATEs ({megabytes:.1} MB) in {seconds:.3} s: \
             {prefixes_per_second:.0}/s"
        )
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: u64| us as f64 / 1000.0;
        write!(
            f,
            "p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms ({} probes)",
            ms(self.p50_us),
            ms(self.p90_us),
            ms(self.p99_us),
            ms(self.p999_us),
            ms(self.max_us),
            self.count
        )
    }
}

impl fmt::Display for Churn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Churn {
            updates,
            seconds,
            updates_per_second,
            prefixes_per_second,
            lost,
            ..
        } = self;
        write!(
            f,
            "{updates} updates in {seconds:.1} s: {updates_per_second:.0}/s, \
             {prefixes_per_second:.0} prefixes/s, {lost} lost"
        )?;
        if let Some(latency) = &self.latency {
            write!(f, "; {latency}")?;
        }
        match &self.calm {
            Some(calm) => write!(f, "; of a calm neighbour: {calm}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Flap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |seconds: Option<f64>| match seconds {
            Some(seconds) => format!("{seconds:.3} s"),
            None => "never".to_owned(),
        };
        let Flap {
            members, prefixes, ..
        } = self;
        let (gone, back) = (time(self.withdraw_seconds), time(self.announce_seconds));
        write!(
            f,
            "{prefixes} prefixes of {members} members gone after {gone}, back after {back}"
        )
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Differences {
            checked,
            missing,
            unexpected,
            changed,
            not_best,
            reflected,
            held_back,
            examples,
        } = self;
        let total = self.total();
        write!(f, "differences   {total} in {checked} prefixes")?;
        if total > 0 {
            write!(
                f,
                ": {missing} missing, {unexpected} unexpected, {changed} changed, \
                 {not_best} not the best"
            )?;
        }
        if *reflected > 0 {
            write!(f, "; {reflected} advertised back to who sent them")?;
        }
        if *held_back > 0 {
            write!(f, "; {held_back} kept back by a community")?;
        }
        writeln!(f)?;
        for example in examples {
            writeln!(
                f,
                "  {} {} at {}",
                example.kind, example.prefix, example.receiver
            )?;
            if let Some(sent) = &example.sent {
                writeln!(f, "    sent     {sent}")?;
            }
            if let Some(received) = &example.received {
                writeln!(f, "    received {received}")?;
            }
        }
        Ok(())
    }
}
