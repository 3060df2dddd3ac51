//! Sockets by protocol: `/proc/net/sockstat` and `sockstat6`.

use metrics::MetricFamily;

use super::error::{CollectError, number};
use super::family::gauge;
use super::files::Files;

pub(super) fn collect(
    files: &mut Files<'_>,
    out: &mut Vec<MetricFamily>,
) -> Result<(), CollectError> {
    let page_bytes = rustix::param::page_size() as f64;
    for file in ["net/sockstat", "net/sockstat6"] {
        match files.proc(file) {
            Ok(text) => collect_file(&text, page_bytes, out)?,
            // A kernel without this version of the protocol.
            Err(why) if why.is_not_found() => {}
            Err(why) => return Err(why),
        }
    }
    Ok(())
}

/// Lines are `TCP: inuse 4 orphan 0 …`; `mem` counts pages.
fn collect_file(
    text: &str,
    page_bytes: f64,
    out: &mut Vec<MetricFamily>,
) -> Result<(), CollectError> {
    for line in text.lines() {
        let Some((protocol, fields)) = line.split_once(':') else {
            continue;
        };
        let fields: Vec<_> = fields.split_ascii_whitespace().collect();
        for pair in fields.chunks_exact(2) {
            let (state, value) = (pair[0], number::<f64>("sockstat", pair[1])?);
            if (protocol, state) == ("sockets", "used") {
                gauge(
                    out,
                    "node_sockstat_sockets_used",
                    "Number of IPv4 sockets in use.",
                    value,
                );
                continue;
            }
            push(out, protocol, state, value);
            if state == "mem" {
                push(out, protocol, "mem_bytes", value * page_bytes);
            }
        }
    }
    Ok(())
}

fn push(out: &mut Vec<MetricFamily>, protocol: &str, state: &str, value: f64) {
    let help = format!("Number of {protocol} sockets in state {state}.");
    gauge(
        out,
        &format!("node_sockstat_{protocol}_{state}"),
        &help,
        value,
    );
}

#[cfg(test)]
mod tests {
    use super::super::family::samples;
    use super::*;

    #[test]
    fn pairs_become_families_and_pages_bytes() {
        let mut out = Vec::new();
        collect_file(
            "sockets: used 229\nTCP: inuse 4 mem 2\nodd\nRAW: inuse\n",
            4_096.0,
            &mut out,
        )
        .unwrap();
        let expected = "node_sockstat_TCP_inuse 4\nnode_sockstat_TCP_mem 2\nnode_sockstat_TCP_mem_bytes 8192\n\
                        node_sockstat_sockets_used 229\n";
        assert_eq!(samples(out), expected);
    }

    #[test]
    fn odd_numbers_are_an_error() {
        assert!(collect_file("TCP: inuse many\n", 1.0, &mut Vec::new()).is_err());
    }
}
