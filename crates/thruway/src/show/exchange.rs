//! `thruway exchange on|off`, `thruway show exchange`, `thruway show hosts`.

use anyhow::Result;
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use thruway_api::{
    Client, ExchangeView, HostRoute, HostsSummary, HostsView, MatrixCell, Member, MemberSession,
    SwitchReport, encode,
};
use thruway_exchange::{Kind, Preference};

use super::server::ServerArgs;
use super::tables::{self, span};
use super::{print, print_json, runtime};

/// `thruway exchange`.
#[derive(Args, Debug)]
pub struct ExchangeArgs {
    /// Whether branches learn each other's routes.
    position: Position,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Position {
    /// NVAs and gateways learn each other's routes.
    On,
    /// They learn the network's own routes only; NVAs also each other's.
    Off,
}

/// Turns route exchange on or off, and says who was told what.
///
/// # Errors
/// What the server says, or that there is none.
pub fn exchange(args: &ExchangeArgs) -> Result<()> {
    let enabled = args.position == Position::On;
    let path = format!("/v1/exchange?enabled={enabled}");
    let client = args.server.client()?;
    let report: SwitchReport = runtime()?.block_on(client.post(&path))?;
    if args.server.json {
        return print_json(&report);
    }
    print(&switch(&report))
}

/// What a new position of the switch did.
pub(super) fn switch(report: &SwitchReport) -> String {
    let position = on_off(report.enabled);
    let mut text = match (report.changed, report.settled) {
        (false, _) => format!("route exchange was {position} already"),
        (true, true) if report.behind.is_empty() => format!(
            "route exchange is {position}: in effect everywhere after {:.1} ms",
            report.took_ms
        ),
        (true, true) => format!(
            "route exchange is {position}: told to everybody after {:.1} ms, but not read by all",
            report.took_ms
        ),
        (true, false) => format!(
            "route exchange is {position}, but not in effect everywhere yet after {:.0} ms",
            report.took_ms
        ),
    };
    if report.changed {
        let mut table = tables::table(&["session", "", "announced", "withdrawn"]);
        tables::align_right(&mut table, 2..4);
        for peer in &report.peers {
            table.add_row([
                peer.name.as_str(),
                peer.kind.map_or("", Kind::receiver),
                &number(peer.announced),
                &number(peer.withdrawn),
            ]);
        }
        text += &format!("\n\n{}", tables::trim(&table));
    }
    if !report.behind.is_empty() {
        text += &format!("\nstill reading: {}", report.behind.join(", "));
    }
    if let Some(warning) = &report.warning {
        text += &format!("\nwarning: {warning}");
    }
    text
}

/// `thruway show exchange`.
pub(super) async fn show(client: &Client, json: bool) -> Result<()> {
    let view: ExchangeView = client.get("/v1/exchange").await?;
    if json {
        print_json(&view)
    } else {
        print(&draw(&view))
    }
}

/// `thruway show hosts`.
pub(super) async fn hosts(client: &Client, prefix: Option<&str>, json: bool) -> Result<()> {
    let mut path = "/v1/hosts".to_owned();
    if let Some(prefix) = prefix {
        path += &format!("?prefix={}", encode(prefix));
    }
    let view: HostsView = client.get(&path).await?;
    if json {
        print_json(&view)
    } else {
        let none = match prefix {
            Some(prefix) if view.routes.is_empty() => format!("\nno route for {prefix}"),
            _ => String::new(),
        };
        print(&(draw_hosts(&view) + &none))
    }
}

fn on_off(enabled: bool) -> &'static str {
    if enabled { "on" } else { "off" }
}

/// With commas between thousands.
pub(super) fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many prefixes.
pub(super) fn prefixes(count: u64) -> String {
    let word = if count == 1 { "prefix" } else { "prefixes" };
    format!("{} {word}", number(count))
}

fn draw(view: &ExchangeView) -> String {
    let mut text = tables::trim(&facts(view));
    if let Some(warning) = &view.warning {
        text += &format!("\nwarning: {warning}");
    }
    text += &format!("\n\n{}", tables::trim(&members(&view.members)));
    text += &format!("\n\n{}", matrix(view));
    text
}

fn facts(view: &ExchangeView) -> Table {
    let mut table = tables::table(&[]);
    let by = match view.set_by.as_str() {
        "file" => format!("set by the file {}", view.config),
        _ if view.warning.is_some() => "set by a command (not kept, see the warning)".to_owned(),
        _ => format!("set by a command (kept in {})", view.state_file),
    };
    let mut position = format!("{}, {by}, since {}", on_off(view.enabled), view.since);
    if view.file_says != view.enabled {
        position += &format!("; the file says {}", on_off(view.file_says));
    }
    let list = |items: Vec<String>| items.join(", ");
    let texts = |prefixes: &[thruway_wire::Prefix]| {
        list(prefixes.iter().map(ToString::to_string).collect())
    };
    table.add_row(["route exchange", &position]);
    table.add_row(["preference", &preference(&view.preference)]);
    table.add_row(["AS", &view.asn.to_string()]);
    table.add_row(["VNet", &texts(&view.vnet.prefixes)]);
    let hops = view.vnet.next_hops.iter().map(ToString::to_string);
    table.add_row(["next hop", &list(hops.collect())]);
    for peered in &view.vnet.peered {
        let line = format!("{}: {}", peered.name, texts(&peered.prefixes));
        table.add_row(["peered", &line]);
    }
    table.add_row(["hosts", &hosts_line(&view.hosts)]);
    table
}

fn preference(name: &str) -> String {
    let what = Preference::ALL.into_iter().find(|it| it.as_str() == name);
    let what = what.map(|preference| match preference {
        Preference::ExpressRoute => "ExpressRoute before VPN and NVA",
        Preference::Vpn => "VPN and NVA before ExpressRoute",
        Preference::AsPath => "no kind before another; the shorter AS path",
    });
    format!("{name}: {}", what.unwrap_or("unknown to this program"))
}

fn hosts_line(hosts: &HostsSummary) -> String {
    let totals = &hosts.totals;
    match &hosts.kernel {
        None => format!(
            "{} routes, computed and not installed ([hosts] has no table)",
            number(totals.routes)
        ),
        Some(kernel) => {
            let mut text = format!(
                "{} of {} routes in the kernel's table {}",
                number(totals.in_kernel),
                number(totals.routes),
                kernel.table
            );
            if totals.errors > 0 {
                text += &format!(", {} with errors", number(totals.errors));
            }
            text
        }
    }
}

fn members(members: &[Member]) -> Table {
    let mut table = tables::table(&["member", "kind", "state", "up", "learned", "advertised", ""]);
    tables::align_right(&mut table, 3..6);
    for member in members {
        let up = member.sessions.iter().filter(|it| is_up(it.uptime_seconds));
        let sum = |pick: fn(&MemberSession) -> u64| number(member.sessions.iter().map(pick).sum());
        table.add_row([
            member.name.clone(),
            member.kind.source().to_owned(),
            member.state.clone(),
            format!("{} of {}", up.count(), member.sessions.len()),
            sum(|session| session.learned),
            sum(|session| session.advertised),
            member.reason.clone().unwrap_or_default(),
        ]);
        for session in &member.sessions {
            let note = match (&session.down_since, session.held_back) {
                (Some(since), _) => format!("down since {since}"),
                (None, 1..) => format!("{} held back", number(session.held_back)),
                (None, 0) => String::new(),
            };
            table.add_row([
                format!("  {}", session.name),
                String::new(),
                session.state.clone(),
                session.uptime_seconds.map_or_else(|| "-".to_owned(), span),
                number(session.learned),
                number(session.advertised),
                note,
            ]);
        }
    }
    table
}

fn is_up(uptime: Option<u64>) -> bool {
    uptime.is_some()
}

/// Rows learned from, columns told to; a kind that is not configured has neither.
fn matrix(view: &ExchangeView) -> String {
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| {
            let is = |member: &Member| member.kind == *kind;
            *kind == Kind::Network || view.members.iter().any(is)
        })
        .collect();
    let is_down = |kind: Kind| {
        let mut mine = view.members.iter().filter(|member| member.kind == kind);
        kind != Kind::Network && mine.all(|member| member.state == "down")
    };
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    let mut heading = vec!["learned from ↓   advertised to →".to_owned()];
    heading.extend(kinds.iter().map(|kind| {
        let down = if is_down(*kind) { " (down)" } else { "" };
        format!("{}{down}", kind.receiver())
    }));
    table.set_header(heading);
    for from in &kinds {
        let mut row = vec![from.source().to_owned()];
        row.extend(kinds.iter().map(|to| {
            let of = |cell: &&MatrixCell| (cell.from, cell.to) == (*from, *to);
            view.matrix.iter().find(of).map_or_else(String::new, cell)
        }));
        table.add_row(row);
    }
    for column in 1..=kinds.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let shown = |cell: &&MatrixCell| kinds.contains(&cell.from) && kinds.contains(&cell.to);
    let cells: Vec<&MatrixCell> = view.matrix.iter().filter(shown).collect();
    let mut text =
        format!("{table}\nPrefixes whose best path that the cell allows comes from there.");
    text += &legend(&cells);
    text
}

fn cell(cell: &MatrixCell) -> String {
    match (cell.allowed, is_switched(cell)) {
        (true, _) => number(cell.prefixes),
        (false, true) if cell.kept_back > 0 => format!("off ({})", number(cell.kept_back)),
        (false, true) => "off".to_owned(),
        // Hosts have the network's own prefixes anyway.
        (false, false) if cell.from == cell.to && cell.to == Kind::Network => "system".to_owned(),
        (false, false) => "never".to_owned(),
    }
}

/// True where the switch decides.
fn is_switched(cell: &MatrixCell) -> bool {
    thruway_exchange::cell(cell.from, cell.to) == thruway_exchange::Cell::WhenOn
}

/// What the words in the matrix mean.
fn legend(cells: &[&MatrixCell]) -> String {
    let mut text = String::new();
    if cells.iter().any(|cell| !cell.allowed && is_switched(cell)) {
        text +=
            "\noff (n)  route exchange is off, which keeps back n prefixes: `thruway exchange on`";
    }
    for cell in cells {
        if let (false, false, Some(why)) = (cell.allowed, is_switched(cell), &cell.why_not) {
            let (from, to) = (cell.from.source(), cell.to.receiver());
            let word = self::cell(cell);
            text += &format!("\n{word:<8} {from} to {to}: {why}");
        }
    }
    let beaten = cells.iter().filter(|cell| cell.beaten > 0);
    for cell in beaten {
        let (from, to) = (cell.from.source(), cell.to.receiver());
        let count = prefixes(cell.beaten);
        text += &format!("\n{from} to {to}: for {count} another source is better");
    }
    text
}

fn draw_hosts(view: &HostsView) -> String {
    let totals = &view.totals;
    let mut text = match &view.kernel {
        Some(kernel) => format!(
            "{} routes for hosts, {} in the kernel's table {} (protocol {}, metric {}), {} with \
             errors",
            number(totals.routes),
            number(totals.in_kernel),
            kernel.table,
            kernel.protocol,
            kernel.metric,
            number(totals.errors)
        ),
        None => format!(
            "{} routes for hosts, computed and not installed ([hosts] has no table)",
            number(totals.routes)
        ),
    };
    if totals.waiting > 0 {
        text += &format!(", {} wait to be written", number(totals.waiting));
    }
    if totals.leftovers > 0 {
        text += &format!(", {} left by an earlier run", number(totals.leftovers));
    }
    if view.session != "established" {
        text += &format!("\nsession with the route server: {}", view.session);
    }
    if view.routes.is_empty() {
        return text;
    }
    text += &format!(
        "\n\n {:<20} {:<9} {:<16} via",
        "prefix", "state", "next hop"
    );
    for route in &view.routes {
        add_host_route(&mut text, route);
    }
    text
}

/// A line for each next hop.
fn add_host_route(text: &mut String, route: &HostRoute) {
    let mut place = (route.network.to_string(), route.state.to_string());
    for hop in &route.next_hops {
        let mut via: Vec<String> = hop
            .via
            .iter()
            .map(|gateway| format!("{} dev {}", gateway.gateway, gateway.interface))
            .collect();
        via.extend(hop.error.clone());
        let (network, state) = std::mem::take(&mut place);
        let next_hop = hop.address.to_string();
        let line = format!(
            " {network:<20} {state:<9} {next_hop:<16} {}",
            via.join(", ")
        );
        *text += &format!("\n{}", line.trim_end());
    }
    let of_hop = |error: &String| {
        let mut hops = route.next_hops.iter();
        hops.any(|hop| hop.error.as_ref().is_some_and(|it| error.contains(it)))
    };
    if let Some(error) = route.error.as_ref().filter(|error| !of_hop(error)) {
        *text += &format!("\n   {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas() {
        let texts = [0, 999, 1000, 14_000, 1_234_567].map(number);
        assert_eq!(texts, ["0", "999", "1,000", "14,000", "1,234,567"]);
    }
}
