//! How the page's files are served. Needs no browser.

use std::fs;
use std::path::Path;

use crate::support::Server;

const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/page/assets");

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_served_strictly_and_kept_by_its_tag() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on(folder.path()).await;
    let client = server.client();
    let ask = async |target: &str, headers: &[(&str, &str)]| {
        client.ask("GET", target, headers, None).await
    };
    let mut targets: Vec<String> = fs::read_dir(ASSETS)
        .expect("reads")
        .map(|file| file.expect("a file").file_name().into_string().expect("a name"))
        .filter(|file| file != "index.html")
        .map(|file| format!("/page/{file}"))
        .collect();
    targets.push("/".to_owned());
    assert!(targets.len() > 10);
    for target in &targets {
        let answer = ask(target, &[]).await;
        assert_eq!(answer.status, 200, "{target}");
        let header = |name: &str| answer.headers[name].to_str().expect("text").to_owned();
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cache-control"), "no-cache");
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let again = ask(target, &[("if-none-match", &header("etag"))]).await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{target}");
        assert_eq!(ask(target, &[("if-none-match", "\"other\"")]).await.status, 200);
    }
    let html = fs::read_to_string(Path::new(ASSETS).join("index.html")).expect("reads");
    for inline in ["<style", " style=", " onclick", "<script>"] {
        assert!(!html.contains(inline), "{inline}");
    }
    assert_eq!(ask("/page/none.js", &[]).await.status, 404);
    assert_eq!(ask("/page/..%2Fpage.rs", &[]).await.status, 404);
    assert_eq!(client.ask("POST", "/", &[], None).await.status, 405);
    server.stop().await;
}
