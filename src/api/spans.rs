//! Spans of requests, and who they are while a request is answered.

use model::trace::{Span, SpanContext};

tokio::task_local! {
    static CURRENT: SpanContext;
}

/// Returns the span of the request that this task answers.
pub(super) fn current() -> Option<SpanContext> {
    CURRENT.try_with(|context| *context).ok()
}

/// Does `work`, which answers the request of `span`.
pub(super) async fn within<T>(span: &Span, work: impl Future<Output = T>) -> T {
    match span.context() {
        Some(context) => CURRENT.scope(context, work).await,
        None => work.await,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Method;
    use model::trace::{AttributeValue, KeptSpans, SpanKind, TRACEPARENT};

    use crate::api::testing::{Api, Options};

    async fn ask(api: &Api, path: &str, above: Option<&str>) {
        let mut request = api.request(Method::GET, path, "");
        if let Some(above) = above {
            request = request.header(TRACEPARENT, above);
        }
        api.respond(request.body(Body::empty()).unwrap()).await;
    }

    #[tokio::test]
    async fn a_query_is_below_its_request_and_that_below_its_sender() {
        let (tracer, kept) = KeptSpans::traced();
        let api = Api::with(Options {
            tracer,
            ..Options::default()
        });
        let above = "00-0af7651916cd43dd8448eb211c80319c-00000000000000ff-01";
        ask(&api, "/api/v1/query?query=up", Some(above)).await;
        let spans = kept.taken();
        let names: Vec<&str> = spans.iter().map(|span| &*span.name).collect();
        assert_eq!(
            names,
            ["promqlExecQueue", "promqlExec", "GET /api/v1/query"]
        );
        let [queue, execution, request] = &spans[..] else {
            panic!("{spans:?}");
        };
        assert_eq!((request.kind, request.parent), (SpanKind::Server, 0xff));
        assert_eq!(queue.parent, request.context.span);
        assert_eq!(execution.parent, request.context.span);
        let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
        assert!(spans.iter().all(|span| span.context.trace == trace));
        let query = AttributeValue::Text("up".to_owned());
        assert_eq!(execution.attributes, [("query", query)]);
        let status = AttributeValue::Integer(200);
        assert!(
            request
                .attributes
                .contains(&("http.response.status_code", status))
        );
    }

    #[tokio::test]
    async fn what_fails_says_why() {
        let (tracer, kept) = KeptSpans::traced();
        let api = Api::with(Options {
            tracer,
            ..Options::default()
        });
        ask(&api, "/api/v1/query?query=sum(", None).await;
        let spans = kept.taken();
        assert!(spans[1].error.as_ref().unwrap().contains("parse error"));
        // The sender's mistake is no failure of ours.
        assert_eq!(spans[2].error, None);
        ask(
            &api,
            "/api/v1/query?query=up",
            Some("00-0af7651916cd43dd8448eb211c80319c-00000000000000ff-00"),
        )
        .await;
        assert_eq!(kept.taken().len(), 3);
    }
}
