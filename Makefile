# The project's commands. `make` alone lists them; what is longer than a line is in scripts/.
#   ARGS=…   goes to the program: make demo ARGS=--once
#   NAME=…   names a benchmark, or the folder of a new workflow

.DEFAULT_GOAL := help
.PHONY: help demo account-numbers expenses receipts new page test bench ci fmt clippy doc audit soak-concurrency soak-graphs soak-models

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## install what is missing, build, read account numbers with the page on 127.0.0.1:8080; ARGS=--once prints a table and ends
	@scripts/demo.sh $(ARGS)

account-numbers: ## the same without looking for what is missing
	cargo run -p eddyline-examples --bin account-numbers -- $(ARGS)

expenses: ## sort expenses; what is unclear people are asked on the page, http://127.0.0.1:8080/#people; ARGS=--once has a program answer
	cargo run -p eddyline-examples --bin expenses -- $(ARGS)

receipts: ## read receipts by real models, which are fetched; with the page, or with ARGS=--once as tables (2 minutes)
	@scripts/fetch-models.sh receipts
	cargo run -p eddyline-examples --bin receipts -- $(ARGS)

new: ## copy the template to NAME=../my-flow, a package of its own that uses this checkout
	@scripts/new.sh "$(NAME)"

page: ## build the browser's half, where its sources have changed
	@scripts/page.sh

test: ## what a change must pass: no root, no browser, no node
	@scripts/test.sh

bench: ## run the suite NAME=dataflow in release mode, into target/bench/NAME.jsonl
	@scripts/bench.sh "$(NAME)"

ci: ## everything that a merge must pass; installs what it needs
	@.ci/run

fmt: ## format the code
	cargo fmt --all

clippy: ## lints, as errors
	@scripts/setup-highs.sh
	cargo clippy --workspace --all-targets -- -D warnings

doc: ## the API's documentation, into target/doc; a warning is an error
	@scripts/setup-highs.sh
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

audit: soak-concurrency soak-graphs ## what takes too long for each change: soaks; licences, advisories and sources of all dependencies
	@scripts/audit.sh

soak-graphs: ## 300,000 random workflows under three random schedules each, against an oracle; `make test` tries 1,500
	PROPTEST_CASES=100000 cargo test -p eddyline --test random_graphs allows

soak-concurrency: ## 260,000 orders in which actors may take turns; `make test` tries some thousand
	INTERLEAVINGS=10000 cargo test --lib interleavings::holds -- --nocapture

soak-models: ## 200,000 models that are damaged or made to harm: bounded memory and time, no panic; `make test` tries 500
	HOSTILE_CASES=200000 cargo test -p eddyline-runtime --test hostile -- --nocapture a_model_made
