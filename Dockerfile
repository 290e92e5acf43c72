FROM python:3.11.7-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY learners learners
COPY stream stream
COPY producers producers
COPY monitoring monitoring
COPY meander meander
RUN python -m venv /opt/meander && /opt/meander/bin/pip install --no-cache-dir -c constraints.txt .

FROM python:3.11.7-slim-bookworm
COPY --from=build /opt/meander /opt/meander
RUN useradd --uid 10001 --create-home meander && mkdir /state && chown meander /state
ENV PATH=/opt/meander/bin:$PATH OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1
USER meander
WORKDIR /deployment
ENTRYPOINT ["meander"]
CMD ["--help"]
