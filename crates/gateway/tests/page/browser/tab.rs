//! A tab of the browser: where it is, what is pressed, what it shows.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Browser, pictures};

#[derive(Debug)]
pub(crate) struct Tab<'a> {
    browser: &'a Browser,
    id: String,
    /// What was asked for, and what went wrong in the page.
    asked: Vec<String>,
    marks: Vec<String>,
    wrongs: Vec<String>,
    /// Messages of the console that a test brings about on purpose hold one of these.
    pub(crate) expected: Vec<&'static str>,
}

impl<'a> Tab<'a> {
    pub(crate) fn open(browser: &'a Browser) -> Self {
        let target = browser.call(None, "Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call(None, "Target.attachToTarget", &attach);
        let id = attached["sessionId"].as_str().expect("a tab").to_owned();
        let tab = Self {
            browser,
            id,
            asked: Vec::new(),
            marks: Vec::new(),
            wrongs: Vec::new(),
            expected: Vec::new(),
        };
        let script = json!({ "source": include_str!("seen.js") });
        tab.call("Page.addScriptToEvaluateOnNewDocument", &script);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            tab.call(&format!("{domain}.enable"), &json!({}));
        }
        tab.size(1280, 800);
        tab
    }

    pub(crate) fn call(&self, method: &str, parameters: &Value) -> Value {
        self.browser.call(Some(&self.id), method, parameters)
    }

    pub(crate) fn go(&self, url: &str) {
        self.call("Page.navigate", &json!({ "url": url }));
        // Until the new document is there, questions may still reach the old one.
        let there =
            format!("location.href === {} || document.readyState === 'complete'", json!(url));
        self.wait(&there);
    }

    pub(crate) fn size(&self, width: u32, height: u32) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    pub(crate) fn prefer(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// The value of an expression; of what it promises.
    pub(crate) fn ask(&self, expression: &str) -> Value {
        let question =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", &question);
        let wrong = &answer["exceptionDetails"];
        assert!(wrong.is_null(), "{expression}: {wrong}");
        answer["result"]["value"].clone()
    }

    pub(crate) fn text(&self, selector: &str) -> String {
        let found =
            self.ask(&format!("document.querySelector({})?.innerText ?? null", json!(selector)));
        found.as_str().unwrap_or_else(|| panic!("there is no {selector}")).to_owned()
    }

    /// The text of an element, also of what is too far away to be drawn.
    pub(crate) fn all(&self, selector: &str) -> String {
        let found =
            self.ask(&format!("document.querySelector({})?.textContent ?? null", json!(selector)));
        found.as_str().unwrap_or_else(|| panic!("there is no {selector}")).to_owned()
    }

    pub(crate) fn number(&self, expression: &str) -> u64 {
        self.ask(expression).as_u64().unwrap_or_else(|| panic!("no number: {expression}"))
    }

    /// Waits until an expression holds, looking once a frame.
    pub(crate) fn wait(&self, expression: &str) {
        let look = format!(
            "new Promise(resolve => {{ const began = Date.now(); const look = () => {{ \
             let is; try {{ is = {expression}; }} catch {{ is = false; }} \
             if (is || Date.now() - began > 60000) resolve(Boolean(is)); else requestAnimationFrame(look); \
             }}; look(); }})"
        );
        // Where the page goes elsewhere meanwhile, the promise is lost with it.
        let question = json!({ "expression": look, "awaitPromise": true, "returnByValue": true });
        let mut answer = json!(null);
        for _ in 0..3 {
            let asked = self.browser.try_call(Some(&self.id), "Runtime.evaluate", &question);
            if let Ok(asked) = asked {
                answer = asked["result"]["value"].clone();
                break;
            }
        }
        if answer != true {
            self.picture("failed");
            panic!("never so: {expression}; see target/page/failed.png");
        }
    }

    /// Waits until an element's text is this.
    pub(crate) fn is(&self, selector: &str, text: &str) {
        self.wait(&format!("seen.is({}, {})", json!(selector), json!(text)));
    }

    /// Waits until an element's text holds this, far away or not.
    pub(crate) fn shows(&self, selector: &str, text: &str) {
        self.wait(&format!("seen.holds({}, {})", json!(selector), json!(text)));
    }

    /// Waits until the session that is shown is followed.
    pub(crate) fn live(&self) {
        self.wait("seen.live()");
    }

    /// Changes a field as somebody would.
    pub(crate) fn choose(&self, id: &str, value: &str) {
        self.ask(&format!("seen.choose({}, {})", json!(id), json!(value)));
    }

    /// Goes to a session within the page.
    pub(crate) fn turn_to(&self, place: &str) {
        self.ask(&format!("location.hash = {}", json!(place)));
    }

    /// Keeps what is to be seen; every text of it stands out from its ground.
    pub(crate) fn show(&self, name: &str) {
        // Colours pass into one another for a moment, and in between they are neither.
        self.wait("seen.rests()");
        self.picture(name);
        assert_eq!(self.ask("seen.pale()"), json!([]), "texts that are too pale in {name}");
    }

    /// Nothing that can be used is without a name, and nothing stands over the edge of the window.
    pub(crate) fn must_be_reachable(&self) {
        let roles =
            ["button", "link", "textbox", "searchbox", "combobox", "grid", "dialog", "region"];
        let heard = self.heard();
        assert!(heard.iter().any(|(role, _)| roles.contains(&role.as_str())), "{heard:?}");
        for (role, name) in heard {
            assert!(!roles.contains(&role.as_str()) || !name.is_empty(), "a {role} without a name");
        }
        assert_eq!(self.ask("seen.tooWide()"), json!([]), "what is wider than its window");
    }

    /// Presses a key, as named by `KeyboardEvent.key`.
    pub(crate) fn press(&self, key: &str) {
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "Tab" => 9,
            "ArrowDown" => 40,
            "ArrowUp" => 38,
            "End" => 35,
            _ => 0,
        };
        let mut down = json!({ "type": "keyDown", "key": key, "windowsVirtualKeyCode": code });
        if key.chars().count() == 1 {
            down["text"] = key.into();
        } else if key == "Enter" {
            down["text"] = "\r".into();
        }
        self.call("Input.dispatchKeyEvent", &down);
        let up = json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code });
        self.call("Input.dispatchKeyEvent", &up);
    }

    pub(crate) fn write(&self, text: &str) {
        self.call("Input.insertText", &json!({ "text": text }));
    }

    pub(crate) fn click(&self, selector: &str) {
        self.wait(&format!("document.querySelector({}) !== null", json!(selector)));
        self.ask(&format!("document.querySelector({}).click()", json!(selector)));
    }

    /// Keeps what is to be seen as `target/page/NAME.png`.
    pub(crate) fn picture(&self, name: &str) {
        let taken = self.call("Page.captureScreenshot", &json!({ "format": "png" }));
        let bytes = STANDARD.decode(taken["data"].as_str().expect("a picture")).expect("base64");
        fs::write(pictures().join(format!("{name}.png")), bytes).expect("is kept");
    }

    /// What browsers tell a screen reader: role and name of everything.
    fn heard(&self) -> Vec<(String, String)> {
        self.call("Accessibility.enable", &json!({}));
        let tree = self.call("Accessibility.getFullAXTree", &json!({}));
        let nodes = tree["nodes"].as_array().expect("nodes").iter();
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        nodes
            .filter(|node| node["ignored"] != true)
            .map(|node| (text(&node["role"]), text(&node["name"])))
            .collect()
    }

    /// All addresses that were asked for.
    pub(crate) fn asked(&mut self) -> &[String] {
        self.look();
        &self.asked
    }

    /// Behind which event a stream was asked for last.
    pub(crate) fn last_mark(&mut self) -> &str {
        self.look();
        self.marks.last().map_or("none", String::as_str)
    }

    /// Nothing was thrown, refused by the page's policy, or asked of anybody else.
    pub(crate) fn must_be_well(&mut self) {
        self.look();
        let expected = &self.expected;
        self.wrongs.retain(|wrong| !expected.iter().any(|known| wrong.contains(known)));
        assert!(self.wrongs.is_empty(), "{:#?}", self.wrongs);
        let is_ours = |url: &String| url.starts_with("http://127.0.0.1:") || url == "about:blank";
        let others: Vec<_> = self.asked.iter().filter(|url| !is_ours(url)).collect();
        assert!(others.is_empty(), "{others:?}");
    }

    fn look(&mut self) {
        for event in self.browser.events() {
            let details = &event["params"];
            match event["method"].as_str() {
                Some("Network.requestWillBeSent") => {
                    let headers = &details["request"]["headers"];
                    self.marks.extend(headers["last-event-id"].as_str().map(str::to_owned));
                    self.asked.push(details["request"]["url"].as_str().unwrap_or("?").to_owned());
                }
                Some("Runtime.exceptionThrown") => self.wrongs.push(details.to_string()),
                Some("Log.entryAdded") if details["entry"]["level"] == "error" => {
                    self.wrongs.push(details["entry"].to_string());
                }
                _ => {}
            }
        }
    }
}
