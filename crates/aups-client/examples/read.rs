use aups_client::{Event, Identity, Reader, ReaderOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let identity = Identity::load("alice.json")?;
    let mut reader = Reader::connect(identity, ReaderOptions::default()).await?;
    reader.subscribe(&["data/sensor1/#"]).await?;
    while let Some(event) = reader.next().await {
        match event {
            Event::Item { topic, item, status, .. } => println!("{topic} {} ({status})", item.data.value),
            Event::Denied { topic, .. } => eprintln!("{topic}: not for alice"),
            other => eprintln!("{other:?}"),
        }
    }
    Ok(())
}
