# Every target installs what it needs first. ARGS passes flags on: make demo ARGS=--json
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
ARGS ?=
KAFKA_NODES ?= 1
KAFKA_PORT ?= 9092
KAFKA_SECURE ?=
KAFKA ?= own
SEED ?= 7
HOURS ?=
BENCHMARKS := decision cache router path gateway start ttft quality detector secure ledger fairness budget

.PHONY: help install demo budget-demo up test check lint types bench proto clean jaeger jaeger-stop test-jaeger milvus milvus-stop test-milvus postgres postgres-stop test-postgres kafka kafka-stop test-kafka faults faults-long test-deploy test-money test-batch test-polyglot test-wires test-llm

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/.installed ## Create .venv with everything

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Trivium needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]'
	touch $@

demo: install ## The whole mesh on this machine answers a file of support requests
	$(BIN)/trivium demo $(ARGS)

budget-demo: install ## A dollar, 500 requests at once, a kill -9 in the middle, beside check-then-record (ARGS=--json)
	$(BIN)/python -m infra.budget_demo $(ARGS)

up: install ## Keep the same mesh running and print its addresses
	$(BIN)/trivium up $(ARGS)

test: install ## Every test that needs nothing but this machine
	$(BIN)/python -m pytest tests/contract/test_retriever*.py $(ARGS)
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/integration/mesh $(ARGS)
	$(BIN)/python -m pytest -n 2 --dist loadfile --ignore=tests/integration/mesh --ignore-glob='*/test_retriever*.py' $(ARGS)

kafka: install ## A real Kafka 4.1 at 9092, fetched by Maven (KAFKA_NODES=3, KAFKA_PORT=19092, KAFKA_SECURE=1)
	$(BIN)/python -m infra.kafka start --nodes $(KAFKA_NODES) --port $(KAFKA_PORT) $(if $(KAFKA_SECURE),--secure) $(ARGS)

kafka-stop: install ## Stop it; its data stay
	$(BIN)/python -m infra.kafka stop $(ARGS)

test-kafka: install ## The broker's suites and more on real Kafkas of their own (KAFKA=HOST:PORT: on that one, whose topics are deleted)
	$(BIN)/python -m pytest tests/contract/test_broker_group.py tests/contract/test_broker_outbox.py \
	  tests/contract/test_broker_reader.py tests/contract/test_retriever_ingest.py tests/integration --broker=$(KAFKA) $(ARGS)
	$(BIN)/python -m pytest tests/real/kafka --show-capture=stdout $(ARGS)

faults: install ## kill -9 under load: every crash point, 20 kills at least; then every edge in trouble, and poison (some 10 minutes; ARGS="--seed 8")
	$(BIN)/python -m tests.faults --seed $(SEED) --json $(ARGS)
	$(BIN)/python -m pytest tests/faults -s -p no:logging

faults-long: install ## The same for HOURS=n; without: 200 kills and 100,000 requests, some 70 minutes
	$(BIN)/python -m tests.faults --seed $(SEED) $(if $(HOURS),--hours $(HOURS),--kills 200 --requests 100000 --rate 30) --json $(ARGS)

jaeger: install ## A real Jaeger, built with Go: traces at 4317, pages at 16686 (jaeger-stop stops it)
	$(BIN)/python -m infra.jaeger start $(ARGS)

jaeger-stop: install
	$(BIN)/python -m infra.jaeger stop $(ARGS)

test-jaeger: install ## Both doors' traces, asserted through a real Jaeger's query API
	$(BIN)/python -m pytest tests/real/jaeger $(ARGS)

milvus: install ## A real Milvus 2.3.5 at 19530 (milvus-stop stops it)
	$(BIN)/python -m infra.milvus start $(ARGS)

milvus-stop: install
	$(BIN)/python -m infra.milvus stop $(ARGS)

test-milvus: install ## The retrieval contract on Milvus Lite and on a real Milvus
	$(BIN)/python -m pytest tests/contract/test_retriever.py tests/contract/test_retriever_sections.py
	$(BIN)/python -m pytest tests/real/milvus $(ARGS)

postgres: install ## A real PostgreSQL 16 at 5432 (postgres-stop stops it)
	$(BIN)/python -m infra.postgres start $(ARGS)

postgres-stop: install
	$(BIN)/python -m infra.postgres stop $(ARGS)

test-postgres: install ## The ledger's store and process on a real PostgreSQL, and its totals against calls and topics
	$(BIN)/python -m pytest tests/real/postgres $(ARGS)

test-money: install ## One bill told by three: the vendors' logs of calls, the topics, the SQL report; through kills
	$(BIN)/python -m pytest tests/money $(ARGS)

test-batch: install ## Patient work through the whole mesh (half price, kills, pulled back in time), and many more states of the keeper
	$(BIN)/python -m pytest tests/batch $(ARGS)
	BATCH_EXAMPLES=500 $(BIN)/python -m pytest tests/unit/test_batch_keeper.py

test-polyglot: install ## Callers in Go, Java, Node and Python, built and run against the embedded mesh and a real Kafka
	$(BIN)/python -m pytest tests/polyglot $(ARGS)

test-deploy: install ## Chart, alerts, compose file and every image's extra, with helm, promtool and compose-go built with Go
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[deploy]'
	$(BIN)/python -m infra.k8s.tools
	$(BIN)/python -m pytest tests/real/helm $(ARGS)

test-wires: install ## The OpenAI-compatible and Anthropic ways against a server that nobody here wrote
	$(BIN)/python -m pytest tests/real/wires $(ARGS)

test-llm: install ## What only a real model can prove: make test-llm LLM=http://host:8000/v1
	$(BIN)/python -m pytest -s tests/real/llm --llm=$(LLM) $(ARGS)

check: lint types ## Style, import rules and types

lint: install
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache

types: install
	$(BIN)/mypy

bench: install ## Every benchmark, one after the other
	@for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name $(ARGS) || exit 1; done

proto: install ## Generate trivium/v1 from protos/
	$(BIN)/python -m infra.generate

clean: ## Remove what the mesh keeps on this machine (.trivium)
	rm -rf .trivium
