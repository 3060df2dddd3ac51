//! The answer to a query in a form that compares: order gone, times as integers, values as they were printed.

use std::collections::BTreeMap;

use serde_json::Value;

/// The samples of one series: milliseconds since the epoch to the value as the server printed it.
pub(crate) type Samples = BTreeMap<i64, String>;

/// The series of a vector or matrix (or a scalar, as a series without labels).
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    /// By labels, as `{a="1",b="2"}` with the names ascending.
    pub(crate) series: BTreeMap<String, Samples>,
}

impl Answer {
    /// Reads the `data` of `/api/v1/query` or `/api/v1/query_range`.
    ///
    /// # Errors
    ///
    /// If it is no result, or holds the same labels twice.
    pub(crate) fn parse(data: &Value) -> Result<Self, String> {
        let result = &data["result"];
        let mut answer = Self::default();
        match data["resultType"].as_str() {
            Some("scalar") => {
                answer
                    .series
                    .insert("{}".to_owned(), Samples::from([sample(result)?]));
            }
            Some("vector" | "matrix") => {
                for element in result.as_array().ok_or("the result is not a list")? {
                    answer.add(element)?;
                }
            }
            other => return Err(format!("unexpected result type {other:?}")),
        }
        Ok(answer)
    }

    fn add(&mut self, element: &Value) -> Result<(), String> {
        let one = ["value", "histogram"].into_iter();
        let many = ["values", "histograms"].into_iter();
        let one = one.filter_map(|key| element.get(key)).map(sample);
        let mut samples: Samples = one.collect::<Result<_, _>>()?;
        for list in many.filter_map(|key| element.get(key)) {
            let list = list.as_array().ok_or("the samples are not a list")?;
            for pair in list {
                samples.extend([sample(pair)?]);
            }
        }
        if samples.is_empty() {
            return Err(format!("no samples: {element}"));
        }
        let labels = labels(&element["metric"])?;
        match self.series.insert(labels.clone(), samples) {
            None => Ok(()),
            Some(_) => Err(format!("{labels} is there twice")),
        }
    }

    /// Returns the number of samples of all series.
    pub(crate) fn sample_count(&self) -> usize {
        self.series.values().map(BTreeMap::len).sum()
    }

    /// Returns the value of the only sample of the only series, as a number.
    pub(crate) fn only_value(&self) -> Result<f64, String> {
        let mut samples = self.series.values().flat_map(BTreeMap::values);
        match (samples.next(), samples.next()) {
            (Some(value), None) => value
                .parse()
                .map_err(|error| format!("value {value}: {error}")),
            _ => Err(format!("not one sample: {self:?}")),
        }
    }

    /// Returns what of `self` is not in `later`: series, samples, or samples with another value. Empty if nothing.
    pub(crate) fn missing_from(&self, later: &Self) -> Vec<String> {
        let mut missing = Vec::new();
        for (labels, samples) in &self.series {
            let Some(now) = later.series.get(labels) else {
                missing.push(format!(
                    "{labels}: the whole series, {} samples",
                    samples.len()
                ));
                continue;
            };
            for (at, value) in samples {
                match now.get(at) {
                    Some(same) if same == value => (),
                    other => missing.push(format!("{labels} at {at}: was {value}, is {other:?}")),
                }
            }
        }
        missing
    }
}

/// Returns a label set in its canonical form.
fn labels(metric: &Value) -> Result<String, String> {
    let metric = metric.as_object().ok_or("metric is not an object")?;
    let sorted: BTreeMap<&String, &Value> = metric.iter().collect();
    let pairs: Vec<String> = sorted
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    Ok(format!("{{{}}}", pairs.join(",")))
}

/// Returns the time and value of `[1700000000.123, "1.5"]`; a native histogram as the JSON that it is, in its order.
fn sample(pair: &Value) -> Result<(i64, String), String> {
    let time = pair[0].as_f64();
    let value = match &pair[1] {
        Value::String(value) => Some(value.clone()),
        histogram @ Value::Object(_) => Some(histogram.to_string()),
        _ => None,
    };
    let (Some(time), Some(value)) = (time, value) else {
        return Err(format!("not a sample: {pair}"));
    };
    Ok((milliseconds(time), value))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the times of a test are of this century, and in whole milliseconds"
)]
fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1e3).round() as i64
}
