# One image for every role; `docker-compose.yml` says which role a container has.
# It holds no Kafka and needs none: name one in KAFKA_BOOTSTRAP_SERVERS.
FROM python:3.11.13-slim-bookworm AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 UV_LINK_MODE=copy
COPY requirements.lock ./
RUN python -m venv /opt/standfast \
    && sed -n '/^uv==/,/# via/p' requirements.lock > uv.txt \
    && /opt/standfast/bin/pip install --no-cache-dir --require-hashes -r uv.txt \
    && /opt/standfast/bin/uv pip sync --no-cache --python /opt/standfast/bin/python --require-hashes requirements.lock
COPY . .
RUN /opt/standfast/bin/uv pip install --no-cache --python /opt/standfast/bin/python --no-build-isolation --no-deps .

FROM python:3.11.13-slim-bookworm
RUN useradd --create-home --uid 10001 standfast \
    && install -d -o standfast -g standfast /var/lib/standfast/models /var/lib/standfast/shop /var/lib/standfast/run \
        /var/lib/standfast/drills
COPY --from=build /opt/standfast /opt/standfast
ENV PATH=/opt/standfast/bin:$PATH STANDFAST_HOME=/var/lib/standfast STANDFAST_METRICS__HOST=0.0.0.0
USER standfast
WORKDIR /home/standfast
EXPOSE 9464
ENTRYPOINT ["standfast"]
CMD ["--help"]
