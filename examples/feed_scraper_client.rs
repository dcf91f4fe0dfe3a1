//! Asks a `feed_scraper` for the titles of feeds.
//!
//! ```text
//! cargo run --example feed_scraper_client --features patched -- http://127.0.0.1:9010/ http://…/feed …
//! cargo run --example feed_scraper_client --features patched -- http://127.0.0.1:9010/ < urls.txt
//! ```

use std::error::Error;
use std::io;

use evy::patched::ureq;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "http://127.0.0.1:9010/".to_owned());
    let mut feeds: String = arguments.map(|url| url + "\n").collect();
    if feeds.is_empty() {
        feeds = io::read_to_string(io::stdin())?;
    }
    print!("{}", ureq::post(server).send(feeds)?.body_mut().read_to_string()?);
    Ok(())
}
