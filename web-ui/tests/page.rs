//! The server over a real socket, with a run that is made up.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test may")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use eddyline_runtime::{
    fate::Fate,
    fault::FaultKind,
    lineage::{History, Lineage},
    observer::{Ending, Observer, Part, SteerError, Watch},
    people::{AnswerError, QuestionView},
    quarantine::{Entry, Filter, ReplayError, Replayed, ReplayedNow, StoreError},
    record::RecordId,
    slots::{Filling, SlotError, SlotView},
    view::{Balances, FaultsView, GraphView, ProblemView, RunState, Snapshot},
};
use eddyline_web_ui::{Page, on};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A run without operators that counts how often it was asked for what.
#[derive(Default)]
struct MadeUp {
    name: &'static str,
    version: AtomicU64,
    snapshots: AtomicU64,
    drained: AtomicU64,
    stopped: AtomicU64,
    steered: Mutex<Vec<(&'static str, Part)>>,
    filters: Mutex<Vec<Filter>>,
    errors: Vec<ProblemView>,
}

impl Watch for MadeUp {
    fn graph(&self) -> GraphView {
        GraphView {
            workflow: self.name.into(),
            version: self.version.load(SeqCst),
            nodes: Vec::new(),
            edges: Vec::new(),
            errors: self.errors.clone(),
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            state: RunState::Running,
            at_us: self.snapshots.fetch_add(1, SeqCst),
            balances: Balances::default(),
            nodes: Vec::new(),
            edges: Vec::new(),
            loops: Vec::new(),
            faults: FaultsView::default(),
            devices: Vec::new(),
            hints: Vec::new(),
            stalls: 0,
        }
    }

    fn questions(&self, most: usize) -> Vec<QuestionView> {
        assert_eq!(most, 100);
        vec![QuestionView {
            node: 3,
            number: 17,
            text: "which digit?".into(),
            value: 1.into(),
            candidates: vec![7.into()],
            asked_at_us: 5,
            until_us: 9,
        }]
    }

    fn question(&self, node: u32, number: u64) -> Result<serde_json::Value, AnswerError> {
        match (node, number) {
            (3, 17) => Ok(serde_json::json!("a seven")),
            (3, _) => Err(AnswerError::NotOpen(number)),
            _ => Err(AnswerError::NoSuchDesk(node)),
        }
    }

    fn answer(&self, node: u32, number: u64, answer: serde_json::Value) -> Result<(), AnswerError> {
        match (node, number) {
            (3, 17) if answer.is_string() => Ok(()),
            (3, 17) => Err(AnswerError::Unreadable { why: "a number".into() }),
            (3, _) => Err(AnswerError::NotOpen(number)),
            _ => Err(AnswerError::NoSuchDesk(node)),
        }
    }

    fn history(&self, record: RecordId) -> Option<History> {
        let known = record == RecordId::of_source(3, 17);
        known.then(|| History {
            record,
            lineage: Lineage::Ids,
            since_us: Some(7),
            lives: Vec::new(),
            left_out: 0,
        })
    }

    fn quarantine(&self, filter: &Filter) -> Result<Vec<Entry>, StoreError> {
        self.filters.lock().unwrap().push(filter.clone());
        if filter.ids.as_ref().is_some_and(|ids| !ids.contains(&7)) {
            return Ok(Vec::new());
        }
        Ok(vec![Entry {
            id: 7,
            run: 1,
            workflow: self.name.into(),
            operator: "confident".into(),
            kind: FaultKind::Rejected,
            reason: "blank page".into(),
            record: "0-17".into(),
            origin: "scans #17".into(),
            rounds: 1,
            at_unix_ms: 5,
            type_name: "Scan".into(),
            value: Some("[1,2]".into()),
            roots: Vec::new(),
            replays: vec![Replayed { run: 1, fate: Some(Fate::Emitted) }],
        }])
    }

    fn replay(&self, filter: &Filter) -> Result<ReplayedNow, ReplayError> {
        match &filter.ids {
            Some(ids) if ids == &[7] => {
                Ok(ReplayedNow { replayed: 1, refused: vec![(8, "not kept".into())] })
            }
            _ => Err(ReplayError::NotRunning),
        }
    }

    fn slots(&self) -> Vec<SlotView> {
        vec![SlotView { node: 3, name: "check".into(), ..SlotView::default() }]
    }

    fn fill(&self, node: u32, filling: Filling) -> Result<(), SlotError> {
        match (node, filling.handler.as_deref()) {
            (3, Some("threshold")) if filling.parameters["least"] == 0.9 && filling.shadow => Ok(()),
            (3, Some("threshold")) => Err(SlotError::NotInShadow("threshold".into())),
            (3, _) => Err(SlotError::Wrong("there is no such handler".into())),
            _ => Err(SlotError::NoSuchSlot(node)),
        }
    }

    fn drain(&self) {
        self.drained.fetch_add(1, SeqCst);
    }

    fn stop(&self) {
        self.stopped.fetch_add(1, SeqCst);
    }

    fn pause(&self, part: Part) -> Result<(), SteerError> {
        self.steered.lock().unwrap().push(("pause", part));
        if part == Part::Node(9) { Err(SteerError::NoSuchNode(9)) } else { Ok(()) }
    }

    fn resume(&self, part: Part) -> Result<(), SteerError> {
        self.steered.lock().unwrap().push(("resume", part));
        Err(SteerError::NotRunning)
    }
}

async fn opened() -> Page {
    let mut page = on("127.0.0.1:0");
    page.open().await.unwrap();
    page
}

async fn showing(run: MadeUp) -> (Page, Arc<MadeUp>) {
    let (mut page, run) = (opened().await, Arc::new(run));
    page.started(run.clone());
    (page, run)
}

async fn connect(page: &Page, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(page.bound().unwrap()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Sends one request and reads the whole answer, headers included.
async fn ask(page: &Page, line: &str, headers: &str) -> String {
    let mut stream = connect(page, &format!("{line} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")).await;
    let mut answer = String::new();
    timeout(Duration::from_secs(5), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

async fn get(page: &Page, path: &str) -> String {
    ask(page, &format!("GET {path}"), "Host: localhost\r\n").await
}

async fn post(page: &Page, path: &str, body: &str, more: &str) -> String {
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\r\n{body}"
    );
    let mut answer = String::new();
    connect(page, &request).await.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Reads the stream of events for `time`.
async fn events(page: &Page, time: Duration) -> String {
    let mut stream = connect(page, "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut heard = Vec::new();
    let _ = timeout(time, stream.read_to_end(&mut heard)).await;
    String::from_utf8(heard).unwrap()
}

/// The names of the events, in order.
fn names(heard: &str) -> Vec<&str> {
    heard.lines().filter_map(|line| line.strip_prefix("event: ")).collect()
}

#[tokio::test]
async fn the_graph_and_a_snapshot_can_be_had_once() {
    let (page, _) = showing(MadeUp { name: "rivers", ..MadeUp::default() }).await;
    let graph = get(&page, "/api/graph").await;
    assert!(graph.starts_with("HTTP/1.1 200"), "{graph}");
    assert!(graph.contains(r#""run":1,"workflow":"rivers""#), "{graph}");
    assert!(graph.contains("cache-control: no-store"), "{graph}");
    assert!(get(&page, "/api/snapshot").await.contains(r#""state":"running""#));
}

#[tokio::test]
async fn before_the_first_run_the_answer_says_so() {
    let page = opened().await;
    let answer = get(&page, "/api/graph").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("no run has started yet"), "{answer}");
}

#[tokio::test]
async fn a_refused_run_shows_its_errors() {
    let wrong = ProblemView {
        node: None,
        location: "main.rs:7".into(),
        what: "feedback `again` was left open".into(),
        advice: "give it to a handler".into(),
    };
    let (page, _) = showing(MadeUp { errors: vec![wrong], ..MadeUp::default() }).await;
    assert!(get(&page, "/api/graph").await.contains("feedback `again` was left open"));
}

#[tokio::test]
async fn the_root_is_a_page_built_or_not() {
    let (page, _) = showing(MadeUp::default()).await;
    let answer = get(&page, "/").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("text/html"), "{answer}");
    assert!(answer.contains("frame-ancestors 'none'"), "{answer}");
}

#[tokio::test]
async fn events_begin_with_the_graph_and_come_at_most_four_times_a_second() {
    let (page, _) = showing(MadeUp::default()).await;
    let heard = events(&page, Duration::from_millis(1600)).await;
    let names = names(&heard);
    assert_eq!(names.first(), Some(&"graph"), "{heard}");
    let snapshots = names.iter().filter(|name| **name == "snapshot").count();
    assert!((3..=8).contains(&snapshots), "{snapshots} snapshots in 1.6 s");
    assert_eq!(names.len(), snapshots + 1, "one graph only: {names:?}");
}

#[tokio::test]
async fn many_readers_cost_one_look_and_none_costs_none() {
    let (page, run) = showing(MadeUp::default()).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(run.snapshots.load(SeqCst), 0, "nobody reads");

    let time = Duration::from_millis(1100);
    tokio::join!(events(&page, time), events(&page, time), events(&page, time), events(&page, time));
    tokio::time::sleep(Duration::from_millis(600)).await;
    let looks = run.snapshots.load(SeqCst);
    assert!((2..=9).contains(&looks), "{looks} looks for four readers");

    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(run.snapshots.load(SeqCst), looks, "all readers have left");
}

#[tokio::test]
async fn a_new_version_and_a_new_run_send_the_graph_again() {
    let (page, run) = showing(MadeUp { name: "first", ..MadeUp::default() }).await;
    let changes = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        run.version.store(2, SeqCst);
        tokio::time::sleep(Duration::from_millis(700)).await;
        page.clone().started(Arc::new(MadeUp { name: "second", ..MadeUp::default() }));
        tokio::time::sleep(Duration::from_millis(700)).await;
    };
    let (heard, ()) = tokio::join!(events(&page, Duration::from_millis(2100)), changes);
    assert_eq!(names(&heard).iter().filter(|name| **name == "graph").count(), 3, "{heard}");
    assert!(heard.contains(r#""run":1,"workflow":"first","version":2"#), "{heard}");
    assert!(heard.contains(r#""run":2,"workflow":"second""#), "{heard}");
}

#[tokio::test]
async fn a_slow_reader_skips_and_holds_up_nobody() {
    let (page, _) = showing(MadeUp::default()).await;
    let idle = connect(&page, "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let heard = events(&page, Duration::from_millis(900)).await;
    assert!(names(&heard).len() >= 3, "{heard}");
    drop(idle);
}

#[tokio::test]
async fn another_name_for_this_machine_is_refused_in_one_line() {
    let (page, _) = showing(MadeUp::default()).await;
    let answer = ask(&page, "GET /api/snapshot", "Host: evil.example\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    assert!(body.starts_with("refused: this page is not evil.example"), "{body}");
    assert_eq!(body.lines().count(), 1, "{body}");
}

#[tokio::test]
async fn only_the_page_itself_may_steer() {
    let (page, run) = showing(MadeUp::default()).await;
    let port = page.bound().unwrap().port();
    let from = |origin: &str| format!("Host: localhost:{port}\r\nOrigin: {origin}\r\nContent-Length: 0\r\n");

    let answer = ask(&page, "POST /api/drain", &from("http://evil.example")).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert_eq!(run.drained.load(SeqCst), 0);

    let answer = ask(&page, "POST /api/drain", &from(&format!("http://localhost:{port}"))).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert_eq!(run.drained.load(SeqCst), 1);

    ask(&page, "POST /api/stop", "Host: localhost\r\nContent-Length: 0\r\n").await;
    assert_eq!(run.stopped.load(SeqCst), 1);

    let answer = get(&page, "/api/drain").await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert_eq!(run.drained.load(SeqCst), 1, "a GET steers nothing");
}

#[tokio::test]
async fn who_steers_must_say_the_token_where_there_is_one() {
    let run = Arc::new(MadeUp::default());
    let mut page = on("127.0.0.1:0").token("a-river-7");
    page.open().await.unwrap();
    page.started(run.clone());
    let all = [
        "drain",
        "stop",
        "pause",
        "resume",
        "questions/3/17",
        "slots/3",
        "quarantine/replay",
        "nodes/3/pause",
        "nodes/3/resume",
    ];
    for path in all {
        for wrong in ["", "Authorization: Bearer a-river-8\r\n", "Authorization: a-river-7\r\n"] {
            let answer = post(&page, &format!("/api/{path}"), "{}", wrong).await;
            assert!(
                answer.starts_with("HTTP/1.1 401") && answer.contains("EDDYLINE_TOKEN"),
                "{path}: {answer}"
            );
        }
    }
    assert_eq!((run.drained.load(SeqCst), run.stopped.load(SeqCst)), (0, 0));
    assert!(run.steered.lock().unwrap().is_empty());

    let right = "Authorization: Bearer a-river-7\r\n";
    assert!(post(&page, "/api/drain", "", right).await.starts_with("HTTP/1.1 202"));
    assert_eq!(run.drained.load(SeqCst), 1);
    let elsewhere = format!("{right}Origin: http://evil.example\r\n");
    assert!(post(&page, "/api/drain", "", &elsewhere).await.starts_with("HTTP/1.1 403"));
    for path in ["/", "/api/graph", "/api/questions", "/api/quarantine"] {
        assert!(get(&page, path).await.starts_with("HTTP/1.1 200"), "who looks is not asked: {path}");
    }

    let error = on("127.0.0.1:0").token("two words").open().await.unwrap_err();
    assert!(error.to_string().contains("token"), "{error}");
}

#[tokio::test]
async fn a_run_and_one_operator_can_be_paused() {
    let (page, run) = showing(MadeUp::default()).await;
    let post = async |path: &str, origin: &str| {
        ask(&page, &format!("POST {path}"), &format!("Host: localhost\r\n{origin}Content-Length: 0\r\n"))
            .await
    };
    assert!(post("/api/pause", "Origin: http://evil.example\r\n").await.starts_with("HTTP/1.1 403"));
    assert!(post("/api/nodes/3/pause", "Origin: http://evil.example\r\n").await.starts_with("HTTP/1.1 403"));
    assert!(run.steered.lock().unwrap().is_empty());

    assert!(post("/api/pause", "").await.starts_with("HTTP/1.1 202"));
    assert!(post("/api/nodes/3/pause", "").await.starts_with("HTTP/1.1 202"));
    let unknown = post("/api/nodes/9/pause", "").await;
    assert!(unknown.starts_with("HTTP/1.1 404") && unknown.contains("/api/graph"), "{unknown}");
    assert!(post("/api/nodes/x/pause", "").await.starts_with("HTTP/1.1 404"));
    let over = post("/api/resume", "").await;
    assert!(over.starts_with("HTTP/1.1 409") && over.contains("not running"), "{over}");
    let asked =
        [("pause", Part::All), ("pause", Part::Node(3)), ("pause", Part::Node(9)), ("resume", Part::All)];
    assert_eq!(*run.steered.lock().unwrap(), asked);
}

#[tokio::test]
async fn a_record_is_asked_for_by_its_id() {
    let (page, _) = showing(MadeUp::default()).await;
    let history = get(&page, "/api/lineage/3-17").await;
    let told = r#"{"record":"3-17","lineage":"ids","since_us":7,"lives":[],"left_out":0}"#;
    assert!(history.starts_with("HTTP/1.1 200") && history.contains(told), "{history}");
    let wrong = get(&page, "/api/lineage/numbers").await;
    assert!(wrong.starts_with("HTTP/1.1 400") && wrong.contains("`numbers` names no record"), "{wrong}");
    let before = get(&page, "/api/lineage/made-2").await;
    assert!(before.starts_with("HTTP/1.1 409") && before.contains("has not begun"), "{before}");
}

#[tokio::test]
async fn people_are_shown_questions_and_answer_them() {
    let (page, _) = showing(MadeUp::default()).await;
    let questions = get(&page, "/api/questions").await;
    assert!(
        questions.contains(r#""run":1,"questions":[{"node":3,"number":17,"text":"which digit?""#),
        "{questions}"
    );
    let whole = get(&page, "/api/questions/3/17").await;
    assert!(whole.starts_with("HTTP/1.1 200") && whole.contains(r#"{"value":"a seven"}"#), "{whole}");
    assert!(get(&page, "/api/questions/3/18").await.starts_with("HTTP/1.1 409"));
    assert!(get(&page, "/api/questions/4/17").await.starts_with("HTTP/1.1 404"));
    let post = async |path: &str, origin: &str, body: &str| {
        let length = body.len();
        let request = format!("Host: localhost\r\n{origin}Content-Length: {length}\r\n\r\n{body}");
        let mut stream =
            connect(&page, &format!("POST {path} HTTP/1.1\r\nConnection: close\r\n{request}")).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    for (path, origin, body, status, says) in [
        ("/api/questions/3/17", "", r#""pass""#, 202, "17"),
        ("/api/questions/3/17", "Origin: http://evil.example\r\n", r#""pass""#, 403, "only the page"),
        ("/api/questions/3/17", "", "7", 400, "this is no answer: a number; say"),
        ("/api/questions/3/17", "", "{", 400, "it is no JSON"),
        ("/api/questions/3/18", "", r#""pass""#, 409, "question 18 does not wait"),
        ("/api/questions/4/17", "", r#""pass""#, 404, "/api/questions"),
        ("/api/questions/three/17", "", r#""pass""#, 404, "nothing under this path"),
    ] {
        let answer = post(path, origin, body).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(says),
            "{path} {body}: {answer}"
        );
    }
}

#[tokio::test]
async fn an_address_in_use_is_told_with_advice() {
    let first = opened().await;
    let address = first.bound().unwrap();
    let error = on(address.to_string()).open().await.unwrap_err();
    assert_eq!(error.what, format!("{address} is in use"));
    assert!(error.advice.contains("give another port, e.g. 127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn opening_twice_is_one_page() {
    let mut page = opened().await;
    let bound = page.bound();
    page.open().await.unwrap();
    assert_eq!(page.bound(), bound);
}

#[tokio::test]
async fn without_until_ctrl_c_the_end_of_the_run_is_the_end() {
    let (mut page, _) = showing(MadeUp::default()).await;
    timeout(Duration::from_millis(100), page.finished(Ending::Done)).await.unwrap();
}

#[tokio::test]
async fn the_last_page_dropped_ends_the_server_and_its_readers() {
    let (page, _) = showing(MadeUp::default()).await;
    let address = page.bound().unwrap();
    let mut stream = connect(&page, "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(page);
    let mut heard = Vec::new();
    timeout(Duration::from_secs(2), stream.read_to_end(&mut heard)).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn faults_are_found_by_what_is_asked_and_come_back() {
    let (page, run) = showing(MadeUp { name: "rivers", ..MadeUp::default() }).await;
    let found =
        get(&page, "/api/quarantine?handler=confident&reason=blank%20page&replayed=false&before=9&most=5000")
            .await;
    for part in
        [r#""id":7"#, r#""handler":"confident""#, r#""value":[1,2]"#, r#""fate":"emitted""#, r#""run":1"#]
    {
        assert!(found.contains(part), "{part} in {found}");
    }
    assert!(get(&page, "/api/quarantine").await.starts_with("HTTP/1.1 200"));
    let one = get(&page, "/api/quarantine/7").await;
    assert!(one.starts_with("HTTP/1.1 200") && one.contains(r#""value":[1,2]"#), "{one}");
    assert_eq!(run.filters.lock().unwrap().pop(), Some(Filter::new().ids([7])));
    let none = get(&page, "/api/quarantine/8").await;
    assert!(none.starts_with("HTTP/1.1 404") && none.contains("there is no fault 8"), "{none}");
    assert_eq!(run.filters.lock().unwrap().pop(), Some(Filter::new().ids([8])));
    assert!(get(&page, "/api/quarantine/seven").await.starts_with("HTTP/1.1 404"));
    let asked =
        Filter { before: Some(9), ..Filter::new().handler("confident").reason("blank page").not_replayed() };
    assert_eq!(*run.filters.lock().unwrap(), [asked.newest(1000), Filter::new().newest(50)]);
    for wrong in ["?colour=red", "?run=first", "?replayed=perhaps"] {
        let answer = get(&page, &format!("/api/quarantine{wrong}")).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("the fields are"), "{answer}");
    }

    let post = async |body: &str, more: &str| post(&page, "/api/quarantine/replay", body, more).await;
    let answer = post(r#"{"ids":[7]}"#, "").await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert!(answer.contains(r#""replayed":1"#) && answer.contains("not kept"), "{answer}");
    assert!(post(r#"{"ids":[7]}"#, "Origin: http://evil.example\r\n").await.starts_with("HTTP/1.1 403"));
    assert!(post("{}", "").await.starts_with("HTTP/1.1 409"));
    assert!(post("seven", "").await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn a_slot_is_filled() {
    let (page, _) = showing(MadeUp::default()).await;
    assert!(get(&page, "/api/slots").await.contains(r#""name":"check""#));
    let fill = async |node: u32, body: &str| post(&page, &format!("/api/slots/{node}"), body, "").await;
    let least = r#"{"handler":"threshold","parameters":{"least":0.9}}"#;
    assert!(fill(3, least).await.starts_with("HTTP/1.1 202"), "in shadow where nothing is said");
    let answer = fill(3, r#"{"handler":"threshold","shadow":false}"#).await;
    assert!(answer.starts_with("HTTP/1.1 409") && answer.contains("in shadow first"), "{answer}");
    assert!(fill(3, r#"{"handler":null}"#).await.starts_with("HTTP/1.1 400"));
    let answer = fill(3, r#"{"shadow":false}"#).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("missing field `handler`"), "{answer}");
    assert!(fill(3, r#"{"handler":"threshold","colour":1}"#).await.starts_with("HTTP/1.1 400"));
    assert!(fill(4, least).await.starts_with("HTTP/1.1 404"));
}
