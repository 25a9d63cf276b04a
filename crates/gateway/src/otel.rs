//! Spans for a collector, over OTLP as JSON. To a collector on this machine or in its network: there
//! is no TLS here.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

/// The longest that a collector may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
#[error("the exporter of spans: {0}; check the address of the collector [invalid]")]
pub struct ExportError(String);

/// Exports spans until it is dropped; then sends what is left.
#[derive(Debug)]
pub struct Exporter {
    provider: SdkTracerProvider,
    _running: oneshot::Sender<()>,
}

impl Exporter {
    /// Exports to this address, such as `http://127.0.0.1:4318/v1/traces`. The collector need not be
    /// there: spans that cannot be sent are dropped.
    ///
    /// # Errors
    /// The address is none, or the system has no thread to give.
    pub fn start(endpoint: &str) -> Result<Self, ExportError> {
        let wrong = |error: &dyn fmt::Display| ExportError(error.to_string());
        if !endpoint.starts_with("http://") {
            return Err(ExportError(format!("{endpoint:?} does not begin with http://")));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| wrong(&error))?;
        let client = Client { runtime: runtime.handle().clone() };
        let (running, ended) = oneshot::channel::<()>();
        let run = move || drop(runtime.block_on(ended));
        let thread = thread::Builder::new().name("spans".to_owned()).spawn(run);
        thread.map_err(|error| wrong(&error))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpJson)
            .with_endpoint(endpoint)
            .with_timeout(PATIENCE)
            .build();
        let exporter = exporter.map_err(|error| wrong(&error))?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(Resource::builder().with_service_name("session-journal-gateway").build())
            .build();
        Ok(Self { provider, _running: running })
    }

    /// What hands spans over to it.
    #[must_use]
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let tracer = self.provider.tracer("session-journal-gateway");
        tracing_opentelemetry::layer().with_tracer(tracer)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

/// Sends on a thread of its own: whoever exports has no runtime.
#[derive(Clone, Debug)]
struct Client {
    runtime: Handle,
}

impl HttpClient for Client {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let sent = self.runtime.spawn(async { timeout(PATIENCE, send(request)).await });
        Box::pin(async move { sent.await?? })
    }
}

async fn send(request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let (mut head, body) = request.into_parts();
    let authority = head.uri.authority().ok_or("the address has no host")?.to_string();
    let address =
        if head.uri.port().is_some() { authority.clone() } else { format!("{authority}:80") };
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    head.headers.insert(header::HOST, authority.parse()?);
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    head.uri = target.parse()?;
    let answer = sender.send_request(Request::from_parts(head, Full::new(body))).await?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await?.to_bytes();
    drop(sender);
    let _ = connection.await;
    Ok(Response::from_parts(head, body))
}
