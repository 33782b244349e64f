//! Where a request stands in a trace that goes through several programs: the header `traceparent` of W3C Trace Context.
//!
//! What it does: continues what a request brings, and says what is to be sent on; built with the feature `otel`, hands spans to the collector
//! that the environment names (docs/adr/0062-traces-by-opentelemetry.md). What it must not do: hold up or fail a request. Without the feature
//! nothing here does anything.

#[cfg(not(feature = "otel"))]
use tracing::Span;

/// The header that says where a request stands.
pub const HEADER: &str = "traceparent";

/// Target of spans that are there for traces alone: no line of the log shows them.
pub const TARGET: &str = "traced";

/// A span for traces alone: at a level and target that no log lets through.
#[macro_export]
macro_rules! traced_span {
    ($name:literal $($fields:tt)*) => {
        ::tracing::info_span!(target: "traced", $name $($fields)*)
    };
}

/// Where what is done inside a span stands, as the header says it. Nothing where nobody collects traces.
#[cfg(not(feature = "otel"))]
pub fn parent_of(_: &Span) -> Option<String> {
    None
}

/// Has a span continue what the header says.
#[cfg(not(feature = "otel"))]
pub fn continue_in(_: &Span, _: Option<&str>) {}

#[cfg(feature = "otel")]
pub use collected::{Collected, continue_in, parent_of};

#[cfg(feature = "otel")]
mod collected {
    use std::collections::HashMap;
    use std::env;

    use opentelemetry::propagation::TextMapPropagator;
    use opentelemetry::trace::{TraceContextExt, TracerProvider};
    use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::Span;
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::{Layer, Registry};

    use super::{HEADER, TARGET};

    /// The variables of OpenTelemetry that name a collector.
    const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

    /// Where what is done inside a span stands, as the header says it. Nothing where nobody collects traces.
    pub fn parent_of(span: &Span) -> Option<String> {
        let context = span.context();
        if !context.span().span_context().is_valid() {
            return None;
        }
        let mut headers = HashMap::new();
        TraceContextPropagator::new().inject_context(&context, &mut headers);
        headers.remove(HEADER)
    }

    /// Has a span continue what the header says.
    pub fn continue_in(span: &Span, parent: Option<&str>) {
        let Some(parent) = parent else { return };
        let headers = HashMap::from([(HEADER.to_owned(), parent.to_owned())]);
        // It can only fail where nobody collects.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&headers));
    }

    /// What hands spans on. Dropping it hands on what waits.
    #[derive(Debug)]
    pub struct Collected(SdkTracerProvider);

    impl Collected {
        /// Hands spans of the program to the collector that the environment names; nothing where it names none.
        ///
        /// # Errors
        /// The address is none.
        pub fn from_environment(program: &'static str) -> Result<Option<Collected>, ExporterBuildError> {
            if ENDPOINTS.iter().all(|name| env::var_os(name).is_none_or(|value| value.is_empty())) {
                return Ok(None);
            }
            // The exporter's HTTP client has TLS in it, though it is not used. Where there is a provider already, that is it.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpJson).build()?;
            let resource = Resource::builder().with_service_name(program.replace('_', "-")).build();
            let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
            Ok(Some(Collected(provider)))
        }

        /// What takes spans from the program's own.
        pub fn layer(&self, program: &'static str) -> Box<dyn Layer<Registry> + Send + Sync> {
            let wanted =
                Targets::new().with_target("ovstunnel", LevelFilter::INFO).with_target(TARGET, LevelFilter::INFO);
            tracing_opentelemetry::layer().with_tracer(self.0.tracer(program)).with_filter(wanted).boxed()
        }
    }

    impl Drop for Collected {
        fn drop(&mut self) {
            // A collector that is away keeps nobody from ending.
            let _ = self.0.shutdown();
        }
    }
}
