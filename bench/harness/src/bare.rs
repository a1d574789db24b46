//! The yardstick of HTTP itself: the same server library, answering 202 to a body that it only reads.

use axum::{Router, body::Bytes, extract::DefaultBodyLimit, http::StatusCode, routing::post};
use std::net::Ipv4Addr;
use tokio::net::TcpListener;

/// Serves until killed; says where on standard output.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let routes = Router::new().route("/data", post(|_body: Bytes| async { StatusCode::ACCEPTED }));
    let routes = routes.layer(DefaultBodyLimit::disable());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("ready http={}", listener.local_addr()?);
    axum::serve(listener, routes).await?;
    Ok(())
}
