//! Makes the messages of OTLP from `proto/` without a `protoc` on the machine (protox parses them). The one service method
//! is served by hand, in `src/receivers/otlp/grpc.rs`, so that requests are decoded straight into columns.

const PROTO_ROOT: &str = "proto";
const TRACE_SERVICE: &str = "proto/opentelemetry/proto/collector/trace/v1/trace_service.proto";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    let descriptors = protox::compile([TRACE_SERVICE], [PROTO_ROOT])?;
    let mut config = prost_build::Config::new();
    // rustdoc would take the indented examples in the protos for Rust; the protos are there to be read
    config.disable_comments(["."]);
    config.compile_fds(descriptors)?;
    Ok(())
}
