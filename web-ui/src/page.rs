//! What an author hands to a run.

use std::{io::Write, net::SocketAddr, sync::Arc};

use eddyline_runtime::observer::{BoxFuture, Ending, Observer, ObserverError, Watch};
use tokio::sync::{OnceCell, watch};

use crate::{
    address,
    present::{Present, PresentRun},
    server::Server,
    ticker::TICK,
    token::Token,
};

/// A page at `address`, e.g. `127.0.0.1:8080` or `localhost:8080`; port 0 takes any that is free.
///
/// Nothing is bound before the run [opens](Observer::open) it.
pub fn on(address: impl Into<String>) -> Page {
    let (sender, present) = PresentRun::channel();
    Page {
        address: address.into(),
        beyond_loopback: false,
        until_ctrl_c: false,
        token: Token::from_environment(),
        shared: Arc::new(Shared { sender, present, server: OnceCell::new() }),
    }
}

/// Shows runs in a browser, one after another. Clones are the same page; the server ends with the last of them.
#[derive(Clone)]
pub struct Page {
    address: String,
    beyond_loopback: bool,
    until_ctrl_c: bool,
    token: Option<Token>,
    shared: Arc<Shared>,
}

struct Shared {
    sender: watch::Sender<Option<Present>>,
    present: PresentRun,
    server: OnceCell<Server>,
}

impl Page {
    /// Keeps the page open after the run has ended or was refused, until Ctrl-C. The run's result is returned after that.
    pub fn until_ctrl_c(mut self) -> Self {
        self.until_ctrl_c = true;
        self
    }

    /// Has nobody steer the run who does not say this token: pause, drain or stop it, answer, replay, fill slots. The page asks for it
    /// once; other programs send the header `Authorization: Bearer …`. Whoever reaches the page may still look.
    ///
    /// Without this it is what the environment has as `EDDYLINE_TOKEN`, and where there is none, nobody is asked. A token is one
    /// word of ASCII letters, digits and signs.
    ///
    /// ```
    /// let page = eddyline_web_ui::on("127.0.0.1:8080").token("a-river-7");
    /// # let _ = page;
    /// ```
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Token::new(token));
        self
    }

    /// Allows an address that other machines can reach. Whoever reaches it sees the records that failed, and, unless there is a
    /// [`token`](Self::token), may pause, drain and stop the run.
    pub fn listen_beyond_loopback(mut self) -> Self {
        self.beyond_loopback = true;
        self
    }

    /// The address that the page is bound to, once it is open.
    pub fn bound(&self) -> Option<SocketAddr> {
        self.shared.server.get().map(|server| server.bound)
    }

    async fn serve(&self) -> Result<Server, ObserverError> {
        let address = address::parse(&self.address, self.beyond_loopback)?;
        self.token.as_ref().map_or(Ok(()), Token::check)?;
        let listener = address::bind(address).await?;
        let server =
            Server::start(listener, self.shared.present.clone(), self.token.clone()).map_err(|error| {
                ObserverError {
                    what: format!("cannot serve on {address}: {error}"),
                    advice: "give another address, e.g. 127.0.0.1:8080".into(),
                }
            })?;
        say(format_args!("page: http://{}", server.bound));
        Ok(server)
    }
}

impl Page {
    /// What the present run was refused for; the author shall not have to wait for it until the page closes.
    fn say_errors(&self) {
        let graph = self.shared.sender.borrow().as_ref().map(|present| present.run.graph());
        for error in graph.iter().flat_map(|graph| &graph.errors) {
            say(format_args!("{}: {}\n    {}", error.location, error.what, error.advice));
        }
    }
}

impl Observer for Page {
    fn open(&mut self) -> BoxFuture<'_, Result<(), ObserverError>> {
        Box::pin(async {
            let server = || self.serve();
            self.shared.server.get_or_try_init(server).await.map(|_| ())
        })
    }

    fn started(&mut self, run: Arc<dyn Watch>) {
        self.shared.sender.send_modify(|present| {
            let number = present.as_ref().map_or(1, |before| before.number + 1);
            *present = Some(Present { number, run });
        });
    }

    fn finished(&mut self, ending: Ending) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Some(server) = self.shared.server.get() else { return };
            if self.until_ctrl_c && ending != Ending::Interrupted {
                if ending == Ending::Refused {
                    self.say_errors();
                } else {
                    say(format_args!("finished"));
                }
                say(format_args!("the page stays at http://{} until Ctrl-C", server.bound));
                if let Err(error) = tokio::signal::ctrl_c().await {
                    say(format_args!("cannot wait for Ctrl-C ({error}); the page closes"));
                }
            } else if server.ticker.readers() > 0 {
                // Whoever looks shall see how it ended: the next frame is at most one tick away.
                tokio::time::sleep(TICK * 2).await;
            }
        })
    }
}

/// Writes a line for the author; a closed standard output is no reason to end a run.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
