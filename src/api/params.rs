//! Request parameters: form body and query string as one list, and the types that are read from it.
//!
//! Values of the body come before those of the query string, a repeated key keeps all its values, and a pair that cannot be
//! decoded is passed over: so Go's servers do it, and Grafana sends parameters both ways at once.

use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequest;
use http::{Method, Request, header};
use model::name::Quoted;

use super::error::ApiError;

/// Largest form body, in bytes; larger ones are refused.
pub(super) const BODY_BYTES_MAX: usize = 10 << 20;
/// How long the form of a request may take to arrive.
const BODY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

/// The earliest time that a request can mean, in milliseconds; earlier ones become this one. About 287,000 years before
/// the epoch, so that sums and differences of times do not overflow.
pub(super) const TIME_MIN_MS: i64 = -TIME_MAX_MS;
/// The latest time that a request can mean, in milliseconds; later ones become this one.
pub(super) const TIME_MAX_MS: i64 = 9_007_199_254_740_991;

/// The parameters of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let mut pairs = Vec::new();
        if parts.method == Method::POST && is_of_type(&parts, "application/x-www-form-urlencoded") {
            net::form::append_pairs(&mut pairs, &read_body(body).await?);
        }
        net::form::append_pairs(&mut pairs, parts.uri.query().unwrap_or_default().as_bytes());
        Ok(Params(pairs))
    }
}

/// The parameters of a request that may also be the fields of a JSON object: texts, numbers, or lists of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BodyParams(pub(super) Params);

impl<S: Send + Sync> FromRequest<S> for BodyParams {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        if !is_of_type(&parts, "application/json") {
            let request = Request::from_parts(parts, body);
            return Params::from_request(request, state).await.map(BodyParams);
        }
        let mut pairs = json_pairs(&read_body(body).await?)?;
        net::form::append_pairs(&mut pairs, parts.uri.query().unwrap_or_default().as_bytes());
        Ok(BodyParams(Params(pairs)))
    }
}

/// Returns the fields of a JSON object.
fn json_pairs(body: &[u8]) -> Result<Vec<(String, String)>, ApiError> {
    use serde_json::{Map, Value};

    let object: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| ApiError::BadData(format!("the body is no JSON object: {error}")))?;
    let mut pairs = Vec::new();
    for (name, value) in object {
        let values = match value {
            Value::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            let text = match value {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Null => continue,
                Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                    let what = "must be a text, a number, or a list of them";
                    return Err(ApiError::parameter(&name, what));
                }
            };
            pairs.push((name.clone(), text));
        }
    }
    Ok(pairs)
}

fn is_of_type(parts: &http::request::Parts, wanted: &str) -> bool {
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| {
        let kind = value.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case(wanted)
    })
}

async fn read_body(body: Body) -> Result<bytes::Bytes, ApiError> {
    tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, BODY_BYTES_MAX))
        .await
        .map_err(|_| ApiError::Timeout("the request body took too long to arrive".to_owned()))?
        .map_err(|_| {
            ApiError::TooLarge(format!(
                "the request body is larger than {BODY_BYTES_MAX} bytes, or was cut off"
            ))
        })
}

impl Params {
    /// Returns the parameters of a query string.
    #[cfg(test)]
    pub(super) fn from_query(text: &str) -> Self {
        let mut pairs = Vec::new();
        net::form::append_pairs(&mut pairs, text.as_bytes());
        Params(pairs)
    }

    /// Returns the first value of `name`, or the empty string, which means the same as absence.
    pub(super) fn first(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// Returns the values of `name`, in order.
    pub(super) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns the first value of `name` if it is there and not empty.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        Some(self.first(name)).filter(|value| !value.is_empty())
    }

    /// Returns the time `name`, in milliseconds.
    ///
    /// # Errors
    ///
    /// When it is absent or no time.
    pub(super) fn time(&self, name: &str) -> Result<i64, ApiError> {
        parse_time(self.first(name)).map_err(|what| ApiError::parameter(name, what))
    }

    /// Returns the time `name`, in milliseconds, or `default` when it is absent.
    ///
    /// # Errors
    ///
    /// When it is no time.
    pub(super) fn time_or(&self, name: &str, default: i64) -> Result<i64, ApiError> {
        let Some(text) = self.given(name) else {
            return Ok(default);
        };
        parse_time(text).map_err(|what| {
            ApiError::parameter(
                name,
                format_args!("invalid time value for '{name}': {what}"),
            )
        })
    }

    /// Returns the duration `name`; negative ones are possible.
    ///
    /// # Errors
    ///
    /// When it is absent or no duration.
    pub(super) fn duration(&self, name: &str) -> Result<Nanos, ApiError> {
        parse_duration(self.first(name)).map_err(|what| ApiError::parameter(name, what))
    }

    /// Returns `limit`; 0 is none.
    ///
    /// # Errors
    ///
    /// When it is no whole number or negative.
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        let Some(text) = self.given("limit") else {
            return Ok(0);
        };
        let limit = parse_int(text, "Atoi").map_err(|what| ApiError::parameter("limit", what))?;
        usize::try_from(limit)
            .map_err(|_| ApiError::parameter("limit", "limit must be non-negative"))
    }

    /// Returns the whole number `name`, or `default` when it is absent.
    ///
    /// # Errors
    ///
    /// When it is no whole number.
    pub(super) fn number_or(&self, name: &str, default: i64) -> Result<i64, ApiError> {
        let Some(text) = self.given(name) else {
            return Ok(default);
        };
        parse_int(text, "Atoi").map_err(|_| ApiError::BadData(format!("{name} must be a number")))
    }
}

/// A signed span of time in nanoseconds, as precise as Prometheus counts steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Nanos(pub(super) i64);

impl Nanos {
    /// Returns whole milliseconds, the rest cut off.
    pub(super) fn as_ms(self) -> i64 {
        self.0 / 1_000_000
    }

    /// Returns the standard library's form; negative spans become zero.
    pub(super) fn to_std(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }
}

/// Reads seconds since the epoch, or RFC 3339 with up to nine decimals.
pub(crate) fn parse_time(text: &str) -> Result<i64, String> {
    let wrong = || format!("cannot parse {} to a valid timestamp", Quoted(text));
    if let Ok(seconds) = text.parse::<f64>() {
        if !seconds.is_finite() {
            return Err(wrong());
        }
        // Split first, as Prometheus does: the fraction keeps its precision beside large seconds.
        let millis = seconds.trunc() * 1e3 + (seconds.fract() * 1e3).round();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the cast saturates, and clamp bounds it"
        )]
        return Ok((millis as i64).clamp(TIME_MIN_MS, TIME_MAX_MS));
    }
    parse_rfc3339(text.as_bytes()).ok_or_else(wrong)
}

/// Reads `2006-01-02T15:04:05.999Z` or `…+07:00`, with up to nine decimals, of which three count.
fn parse_rfc3339(text: &[u8]) -> Option<i64> {
    let (date_time, rest) = text.split_at_checked(19)?;
    let [year, month, day, hour, minute, second] = fields(date_time, b"0000-00-00T00:00:00")?;
    let (millis, rest) = match rest {
        [b'.', fraction @ ..] => {
            let digits = fraction
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            if !(1..=9).contains(&digits) {
                return None;
            }
            let thousandths = (0..3).map(|at| {
                fraction[..digits]
                    .get(at)
                    .map_or(0, |digit| i64::from(digit - b'0'))
            });
            (
                thousandths.fold(0, |millis, digit| 10 * millis + digit),
                &fraction[digits..],
            )
        }
        rest => (0, rest),
    };
    let offset_minutes = match rest {
        b"Z" => 0,
        _ => {
            let sign = if rest.first() == Some(&b'-') { -1 } else { 1 };
            let [hours, minutes] = fields(rest, b"+00:00").or_else(|| fields(rest, b"-00:00"))?;
            if 24 < hours || 59 < minutes {
                return None;
            }
            sign * (60 * hours + minutes)
        }
    };
    let narrow = |field: i64| i8::try_from(field).ok();
    let date =
        jiff::civil::Date::new(i16::try_from(year).ok()?, narrow(month)?, narrow(day)?).ok()?;
    if 23 < hour || 59 < minute || 59 < second {
        return None;
    }
    let date_seconds = date.duration_since(jiff::civil::date(1970, 1, 1)).as_secs();
    let seconds = date_seconds + 60 * (60 * hour + minute - offset_minutes) + second;
    Some(1000 * seconds + millis)
}

/// Returns the numbers in `text`, which has the shape of `shape`: digits where that has zeros, else the same.
fn fields<const N: usize>(text: &[u8], shape: &[u8]) -> Option<[i64; N]> {
    let mut fields = [0; N];
    let mut current = fields.iter_mut();
    let mut field = current.next()?;
    let mut is_in_number = false;
    if text.len() != shape.len() {
        return None;
    }
    for (&byte, &wanted) in text.iter().zip(shape) {
        if wanted != b'0' {
            if byte != wanted {
                return None;
            }
            if is_in_number {
                field = current.next()?;
            }
            is_in_number = false;
            continue;
        }
        if !byte.is_ascii_digit() {
            return None;
        }
        is_in_number = true;
        *field = 10 * *field + i64::from(byte - b'0');
    }
    Some(fields)
}

/// Reads seconds, or a duration such as `1h30m`.
pub(super) fn parse_duration(text: &str) -> Result<Nanos, String> {
    let wrong = || format!("cannot parse {} to a valid duration", Quoted(text));
    if let Ok(seconds) = text.parse::<f64>()
        && !seconds.is_nan()
    {
        let nanos = seconds * 1e9;
        if !(-9.3e18..9.2e18).contains(&nanos) {
            return Err(format!("{}. It overflows int64", wrong()));
        }
        #[expect(clippy::cast_possible_truncation, reason = "in range, as just checked")]
        return Ok(Nanos(nanos as i64));
    }
    let duration: model::Duration = text.parse().map_err(|_| wrong())?;
    duration
        .as_ms()
        .checked_mul(1_000_000)
        .map(Nanos)
        .ok_or_else(wrong)
}

/// Reads a whole number; the error is in the words of Go's `strconv`, whose function is `function`.
pub(super) fn parse_int(text: &str, function: &str) -> Result<i64, String> {
    text.parse::<i64>().map_err(|error| {
        use std::num::IntErrorKind::{NegOverflow, PosOverflow};
        let what = match error.kind() {
            PosOverflow | NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.{function}: parsing {}: {what}", Quoted(text))
    })
}

/// Reads a truth value as Go's `strconv.ParseBool`.
pub(super) fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!(
            "strconv.ParseBool: parsing {}: invalid syntax",
            Quoted(text)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Params {
        Params::from_query(text)
    }

    #[track_caller]
    fn check_pairs(text: &str, expected: &[(&str, &str)]) {
        let pairs = params(text).0;
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(pairs, expected);
    }

    #[test]
    fn pairs() {
        check_pairs("", &[]);
        check_pairs(
            "a=1&b=x+y%2Bz&a=2",
            &[("a", "1"), ("b", "x y+z"), ("a", "2")],
        );
        check_pairs(
            "match%5B%5D=up&flag&=v&&x=a=b",
            &[("match[]", "up"), ("flag", ""), ("", "v"), ("x", "a=b")],
        );
        check_pairs("bad=%zz&worse=%4&semi=1;colon=2&good=1", &[("good", "1")]);
        check_pairs("q=%ff", &[("q", "\u{fffd}")]);
    }

    #[track_caller]
    fn check_time(text: &str, expected: Option<i64>) {
        assert_eq!(parse_time(text).ok(), expected, "{text}");
    }

    #[test]
    fn times() {
        check_time("1.5", Some(1_500));
        check_time("1.2344", Some(1_234));
        check_time("1.23456", Some(1_235));
        check_time("-5.5", Some(-5_500));
        check_time("1e3", Some(1_000_000));
        check_time("1795186621.084", Some(1_795_186_621_084));
        check_time("2024-01-01T00:00:00Z", Some(1_704_067_200_000));
        check_time(
            "2024-01-01T00:00:00.123456789+01:00",
            Some(1_704_063_600_123),
        );
        check_time("2024-01-01T00:00:00.5-01:30", Some(1_704_072_600_500));
        check_time("0001-01-01T00:00:00Z", Some(-62_135_596_800_000));
        check_time("9999-12-31T23:59:59.999Z", Some(253_402_300_799_999));
        check_time("1e300", Some(TIME_MAX_MS));
        check_time("-9223372036854775.808", Some(TIME_MIN_MS));
        let wrong = [
            "",
            " ",
            "foo",
            "NaN",
            "inf",
            "0x10",
            "2024-01-01",
            "2024-01-01t00:00:00z",
            "2024-01-01 00:00:00Z",
            "2024-01-01T00:00:00",
            "2024-13-01T00:00:00Z",
            "2024-02-30T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:60Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00+01",
            "é024-01-01T00:00:0",
        ];
        wrong.iter().for_each(|text| check_time(text, None));
    }

    #[track_caller]
    fn check_duration(text: &str, expected: Result<i64, &str>) {
        assert_eq!(
            parse_duration(text),
            expected.map(Nanos).map_err(str::to_owned)
        );
    }

    #[test]
    fn durations() {
        check_duration("15", Ok(15_000_000_000));
        check_duration("0.5", Ok(500_000_000));
        check_duration("-1", Ok(-1_000_000_000));
        check_duration("1m30s", Ok(90_000_000_000));
        check_duration("", Err("cannot parse \"\" to a valid duration"));
        check_duration("x", Err("cannot parse \"x\" to a valid duration"));
        check_duration(
            "1e30",
            Err("cannot parse \"1e30\" to a valid duration. It overflows int64"),
        );
        check_duration("NaN", Err("cannot parse \"NaN\" to a valid duration"));
    }

    #[track_caller]
    fn check_error<T: std::fmt::Debug + PartialEq>(outcome: Result<T, ApiError>, text: &str) {
        assert_eq!(outcome, Err(ApiError::BadData(text.to_owned())));
    }

    #[test]
    fn errors_name_the_parameter() {
        let params = params("time=foo&limit=x&far=99999999999999999999&start=&n=z");
        check_error(
            params.time("start"),
            "invalid parameter \"start\": cannot parse \"\" to a valid timestamp",
        );
        check_error(
            params.time_or("time", 0),
            "invalid parameter \"time\": invalid time value for 'time': cannot parse \"foo\" to a valid timestamp",
        );
        check_error(
            params.duration("step"),
            "invalid parameter \"step\": cannot parse \"\" to a valid duration",
        );
        check_error(
            params.limit(),
            "invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax",
        );
        check_error(params.number_or("n", 0), "n must be a number");
        assert_eq!(params.time_or("start", 7), Ok(7));
    }

    #[test]
    fn limits() {
        assert_eq!(params("").limit(), Ok(0));
        assert_eq!(params("limit=5&limit=6").limit(), Ok(5));
        check_error(
            params("limit=-1").limit(),
            "invalid parameter \"limit\": limit must be non-negative",
        );
        check_error(
            params("limit=99999999999999999999").limit(),
            "invalid parameter \"limit\": strconv.Atoi: parsing \"99999999999999999999\": value out of range",
        );
    }

    #[test]
    fn truth_values() {
        assert_eq!(parse_bool("T"), Ok(true));
        assert_eq!(parse_bool("0"), Ok(false));
        assert_eq!(
            parse_bool("x"),
            Err("strconv.ParseBool: parsing \"x\": invalid syntax".to_owned())
        );
    }

    #[tokio::test]
    async fn body_comes_before_the_query_string() {
        let request = |content_type: &str| {
            Request::post("/?query=3&stats=all")
                .header(header::CONTENT_TYPE, content_type)
                .body(Body::from("query=1&query=2"))
                .unwrap()
        };
        let form = request("application/x-www-form-urlencoded; charset=utf-8");
        let params = Params::from_request(form, &()).await.unwrap();
        assert_eq!(params.all("query").collect::<Vec<_>>(), ["1", "2", "3"]);
        assert_eq!(params.first("stats"), "all");
        let params = Params::from_request(request("application/json"), &())
            .await
            .unwrap();
        assert_eq!(params.first("query"), "3");
    }

    #[tokio::test]
    async fn too_large_bodies_are_refused() {
        let request = Request::post("/")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(vec![b'a'; BODY_BYTES_MAX + 1]))
            .unwrap();
        let refused = Params::from_request(request, &()).await;
        assert!(matches!(refused, Err(ApiError::TooLarge(_))));
    }
}
