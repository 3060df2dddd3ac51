//! Protocol statistics: `/proc/net/netstat`, `snmp` and `snmp6`, of which a pattern chooses the fields.

use metrics::MetricFamily;
use regex::Regex;

use super::collectors::Collect;
use super::error::{CollectError, NodeError, number};
use super::family::untyped;
use super::files::Files;
use super::filter::compile;
use super::options::NodeOptions;

pub(super) struct Netstat {
    fields: Regex,
}

impl Netstat {
    pub(super) fn new(options: &NodeOptions) -> Result<Self, NodeError> {
        Ok(Self {
            fields: compile(&options.netstat_fields, "netstat.fields")?,
        })
    }

    fn push(
        &self,
        field: &Field<'_>,
        key: &mut String,
        out: &mut Vec<MetricFamily>,
    ) -> Result<(), CollectError> {
        let Field {
            protocol,
            name,
            value,
        } = field;
        key.clear();
        key.extend([protocol, "_", name]);
        if self.fields.is_match(key) {
            let value = number("netstat", value)?;
            untyped(
                out,
                &format!("node_netstat_{key}"),
                &format!("Statistic {protocol}{name}."),
                value,
            );
        }
        Ok(())
    }
}

impl Collect for Netstat {
    fn collect(
        &self,
        files: &mut Files<'_>,
        out: &mut Vec<MetricFamily>,
    ) -> Result<(), CollectError> {
        let mut key = String::new();
        for file in ["net/netstat", "net/snmp"] {
            for field in parse_pairs(&files.proc(file)?)? {
                self.push(&field, &mut key, out)?;
            }
        }
        match files.proc("net/snmp6") {
            Ok(text) => parse_snmp6(&text).try_for_each(|field| self.push(&field, &mut key, out)),
            // A kernel without IPv6.
            Err(why) if why.is_not_found() => Ok(()),
            Err(why) => Err(why),
        }
    }
}

#[derive(Debug, PartialEq)]
struct Field<'a> {
    protocol: &'a str,
    name: &'a str,
    value: &'a str,
}

/// Reads pairs of lines: `Tcp: Name Name …`, then `Tcp: 1 2 …`.
fn parse_pairs(text: &str) -> Result<Vec<Field<'_>>, CollectError> {
    let mut fields = Vec::new();
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let malformed = || CollectError::malformed("netstat", "a line of values", values);
        let (protocol, names) = names.split_once(':').ok_or_else(malformed)?;
        let values = values
            .strip_prefix(protocol)
            .and_then(|rest| rest.strip_prefix(':'))
            .ok_or_else(malformed)?;
        let (mut names, mut values) = (
            names.split_ascii_whitespace(),
            values.split_ascii_whitespace(),
        );
        loop {
            match (names.next(), values.next()) {
                (Some(name), Some(value)) => fields.push(Field {
                    protocol,
                    name,
                    value,
                }),
                (None, None) => break,
                _ => return Err(malformed()),
            }
        }
    }
    Ok(fields)
}

/// Reads lines `Ip6InReceives  7`: the protocol goes up to and with the first `6`. Other lines are left out.
fn parse_snmp6(text: &str) -> impl Iterator<Item = Field<'_>> {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (key, value) = (words.next()?, words.next()?);
        let (protocol, name) = key.split_at(key.find('6')? + 1);
        Some(Field {
            protocol,
            name,
            value,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::family::samples;
    use super::*;

    #[test]
    fn names_and_values_are_in_two_lines() {
        let text = "TcpExt: SyncookiesSent TW\nTcpExt: 1 -2\nIpExt: InOctets\nIpExt: 9\n";
        let expected = [
            ("TcpExt", "SyncookiesSent", "1"),
            ("TcpExt", "TW", "-2"),
            ("IpExt", "InOctets", "9"),
        ];
        let expected = expected.map(|(protocol, name, value)| Field {
            protocol,
            name,
            value,
        });
        assert_eq!(parse_pairs(text).unwrap(), expected);
    }

    #[test]
    fn lines_that_do_not_fit_are_an_error() {
        assert!(parse_pairs("Tcp: A B\nTcp: 1\n").is_err());
        assert!(parse_pairs("Tcp: A\nUdp: 1\n").is_err());
        assert!(parse_pairs("Tcp A\nTcp 1\n").is_err());
    }

    #[test]
    fn snmp6_splits_behind_the_six() {
        let fields: Vec<_> =
            parse_snmp6("Ip6InReceives \t7\nUdpLite6OutDatagrams 0\nodd 1\n").collect();
        let expected = [
            ("Ip6", "InReceives", "7"),
            ("UdpLite6", "OutDatagrams", "0"),
        ];
        assert_eq!(
            fields,
            expected.map(|(protocol, name, value)| Field {
                protocol,
                name,
                value
            })
        );
    }

    #[test]
    fn the_pattern_chooses() {
        let netstat = Netstat::new(&NodeOptions::linux_defaults()).unwrap();
        let mut out = Vec::new();
        for field in parse_pairs("Tcp: RtoMin CurrEstab\nTcp: 200 3\n").unwrap() {
            netstat.push(&field, &mut String::new(), &mut out).unwrap();
        }
        assert_eq!(samples(out), "node_netstat_Tcp_CurrEstab 3\n");
    }
}
