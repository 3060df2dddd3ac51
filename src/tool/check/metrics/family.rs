//! The families of a body: the series of a histogram or summary belong together.

use std::collections::{BTreeMap, HashMap};

use model::metadata::MetricType;
use scraper::exposition::{Event, Expected, Format, MetadataKind, ParseError, Parser, labels};

/// The labels of a series without its name, ascending.
pub(super) type Pairs = Vec<(String, String)>;

/// A family and its metrics.
#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) kind: MetricType,
    pub(super) help: String,
    /// The labels of each metric, bounds and quantiles left out, and how many of these it has. Only of plain types may
    /// one be there twice.
    pub(super) metrics: Vec<(Pairs, usize)>,
}

impl Family {
    /// Returns how many series there are; a sum and a count always belong to a histogram or summary.
    pub(super) fn cardinality(&self) -> usize {
        if self.is_compound() {
            self.metrics.iter().map(|(_, parts)| parts + 2).sum()
        } else {
            self.metrics.len()
        }
    }

    /// Returns whether a metric has several series.
    pub(super) fn is_compound(&self) -> bool {
        matches!(self.kind, MetricType::Histogram | MetricType::Summary)
    }
}

/// Returns the families of `body` in the order of their first lines.
pub(super) fn read(body: &[u8]) -> Result<Vec<Family>, ParseError> {
    let mut families = Families::default();
    let mut parser = Parser::new(body, Format::Text)?;
    while let Some(event) = parser.next(Expected::NOTHING)? {
        match event {
            Event::Series(line) => families.add(line.series),
            Event::Metadata(line) => {
                let family = families.named(&line.name());
                match line.what {
                    MetadataKind::Type(kind) => family.kind = kind,
                    MetadataKind::Help(help) => family.help = labels::unescape(help).into_owned(),
                    MetadataKind::Unit(_) => (),
                }
            }
            Event::Comment(_) => (),
        }
    }
    Ok(families.list)
}

#[derive(Default)]
struct Families {
    list: Vec<Family>,
    positions: HashMap<String, usize>,
    /// Where the metrics of histograms and summaries are.
    metrics: BTreeMap<(usize, Pairs), usize>,
}

impl Families {
    fn named(&mut self, name: &str) -> &mut Family {
        let position = self.position(name);
        &mut self.list[position]
    }

    fn position(&mut self, name: &str) -> usize {
        if let Some(&position) = self.positions.get(name) {
            return position;
        }
        let position = self.list.len();
        self.list.push(Family {
            name: name.to_owned(),
            ..Family::default()
        });
        self.positions.insert(name.to_owned(), position);
        position
    }

    fn add(&mut self, series: &str) {
        let mut decoded = Vec::new();
        labels::decode(series, MetricType::Unknown, &mut decoded);
        let mut name = String::new();
        let mut pairs = Pairs::new();
        for (label, value) in decoded {
            if label == "__name__" {
                name = value.into_owned();
            } else {
                pairs.push((label.into_owned(), value.into_owned()));
            }
        }
        pairs.sort();
        let (position, part) = self.family_of(&name);
        let Some(part) = part else {
            self.list[position].metrics.push((pairs, 1));
            return;
        };
        let before = pairs.len();
        pairs.retain(|(label, _)| label != part);
        let parts = before - pairs.len();
        let metrics = &mut self.list[position].metrics;
        let at = *self
            .metrics
            .entry((position, pairs))
            .or_insert_with_key(|(_, pairs)| {
                metrics.push((pairs.clone(), 0));
                metrics.len() - 1
            });
        metrics[at].1 += parts;
    }

    /// Returns the family of a series, and the label that tells its parts apart if there are any.
    fn family_of(&mut self, name: &str) -> (usize, Option<&'static str>) {
        for suffix in ["", "_bucket", "_sum", "_count"] {
            let Some(&position) = name
                .strip_suffix(suffix)
                .and_then(|family| self.positions.get(family))
            else {
                continue;
            };
            match (self.list[position].kind, suffix) {
                (MetricType::Histogram, _) => return (position, Some("le")),
                (MetricType::Summary, "" | "_sum" | "_count") => {
                    return (position, Some("quantile"));
                }
                (_, "") => return (position, None),
                _ => (),
            }
        }
        (self.position(name), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_metric_belong_together() {
        let body = "# TYPE h histogram\nh_bucket{a=\"1\",le=\"1\"} 1\nh_bucket{le=\"2\",a=\"1\"} 1\nh_sum{a=\"1\"} 1\nh_sum{a=\"2\"} 1\nother_sum 1\nh_count_x 1\n";
        let families = read(body.as_bytes()).unwrap();
        let found: Vec<_> = families
            .iter()
            .map(|family| (family.name.as_str(), family.cardinality()))
            .collect();
        assert_eq!(found, [("h", 6), ("other_sum", 1), ("h_count_x", 1)]);
    }

    #[test]
    fn what_comes_before_the_type_is_of_its_own() {
        let families = read(b"h_sum 1\n# TYPE h histogram\n# HELP h x\\ny\nh_sum 1\n").unwrap();
        let found: Vec<_> = families.iter().map(|family| family.name.as_str()).collect();
        assert_eq!(found, ["h_sum", "h"]);
        assert_eq!(families[1].help, "x\ny");
    }

    #[test]
    fn a_body_that_cannot_be_read() {
        let error = read(b"a 1\nb{ 1\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2: expected label name, got the end of the line"
        );
    }
}
