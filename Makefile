# Two commands set up everything by themselves: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KAFKA := .kafka/libs
APT := $(shell [ "$$(id -u)" = 0 ] && command -v apt-get)
PACKAGES := java:default-jre-headless mvn:maven redis-server:redis-server prometheus:prometheus prometheus-alertmanager:prometheus-alertmanager \
  chromium:chromium
SOURCES := learners stream producers monitoring meander
JOBS ?= 3
export OMP_NUM_THREADS = 1

.PHONY: help venv kafka system demo broker check generate test fuzz chaos soak bench pictures signals quality up clean

help: ## Show what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

venv: $(VENV)/.demo ## The virtual environment, enough for the demo

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo]'
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,test,lint]'
	@touch $@

$(VENV)/.bench: $(VENV)/.test
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,test,lint,bench]'
	@touch $@

system: ## Java, Maven, Redis, Prometheus, Alertmanager and Chromium, where missing and apt-get may be used
	@missing=""; for pair in $(PACKAGES); do command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair##*:}"; done; \
	if [ -n "$$missing" ]; then \
	  if [ -n "$(APT)" ]; then apt-get update -qq && apt-get install -qq -y --no-install-recommends $$missing; \
	  else echo "Missing:$$missing. Tests that need them will be skipped, and said so"; fi; fi

kafka: system $(KAFKA)/.done ## Apache Kafka's jars, from Maven

$(KAFKA)/.done: tools/kafka/pom.xml
	@if command -v mvn >/dev/null; then \
	  rm -rf $(KAFKA); mvn -q -B -f tools/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$(KAFKA) && touch $@; fi

demo: $(VENV)/.demo ## The whole idea in a minute, with nothing but Python
	@exec $(BIN)/meander demo

broker: $(VENV)/.demo kafka ## Apache Kafka on localhost:9092, for trying things, until Ctrl-C; keeps its data in .kafka/broker
	@exec $(BIN)/python tools/broker.py

check: $(VENV)/.test ## Lint, format, types, import rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(VENV)/.test kafka ## Everything: check, then the tests on real parts, with coverage and every skip's reason
	$(MAKE) check
	$(BIN)/pytest -n $(JOBS) --dist worksteal --cov --cov-report=
	$(BIN)/coverage report --skip-covered --skip-empty --sort=cover | tail -n 40

fuzz: $(VENV)/.test ## 200,000 mutated messages through a Processor: about ten minutes; SEED=n repeats one
	$(BIN)/python -m tests.fuzz.campaign $(if $(SEED),--seed $(SEED))

chaos: $(VENV)/.test kafka ## Kill, pause and take away for an hour or two, with every store; one table at the end
	$(BIN)/python -m tests.chaos --store files --store redis --out chaos-results

soak: $(VENV)/.test kafka ## Half an hour of steady load: memory at its end within a tenth of that after five minutes
	$(BIN)/python -m tests.chaos.soak

quality: $(VENV)/.test ## How good the presets are, on every stream: docs/quality.md. Hours at first, then from .quality/
	PYTHONPATH=benchmarks:. $(BIN)/python -m quality

generate: $(VENV)/.test ## What is made from the code: schemas, references, OpenAPI, rules, dashboard
	$(BIN)/meander schema --out docs --docs
	$(BIN)/python -m monitoring.openapi
	$(BIN)/python -m monitoring.rules
	$(BIN)/python -m monitoring.dashboard

bench: $(VENV)/.bench kafka ## Side by side with the field, on a real Kafka: about half an hour
	$(BIN)/python benchmarks/bench.py --out benchmarks/results

pictures: $(VENV)/.test kafka ## The pictures of the operations page in the README: two minutes
	$(BIN)/python tools/pictures.py

signals: $(VENV)/.test ## Every change of the gallery of drift signalled, steady streams quiet: minutes
	$(BIN)/python -m tests.signals

up: operators ## Everything with Docker: Kafka, Redis, workers, page, Prometheus, Alertmanager, Grafana
	docker compose up --build

operators: | $(VENV)/.demo ## An operator's token for the page, shown once
	@$(BIN)/meander operator $${USER:-operator} | tee /dev/stderr | sed -n 's/^Line.*: //p' > $@


clean: ## Remove what was made here
	rm -rf $(VENV) .kafka build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .import_linter_cache
