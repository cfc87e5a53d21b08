# The exporter and its pinned dependencies in a virtual environment on Debian's slim Python image.
#
#   docker build -t vastai-exporter --build-arg REVISION="$(git rev-parse HEAD)" .
#
# The hashes in the lock file guarantee the same packages in every build. Behind a proxy with its own CA, add
#   --secret id=ca,src=/etc/ssl/certs/ca-certificates.crt
ARG PYTHON=3.13
FROM python:${PYTHON}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /opt/exporter
RUN python -m venv --without-pip . && python -m venv /opt/pip
COPY requirements.lock ./
RUN --mount=type=secret,id=ca,required=false \
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi \
    && /opt/pip/bin/pip --python bin/python install --no-compile --require-hashes --no-deps --only-binary=:all: -r requirements.lock
# The package is pure Python, so copying its folder is the same as installing it.
COPY exporter /tmp/exporter
COPY config.example.yaml /tmp/exporter/files/
COPY deploy/alertmanager /tmp/exporter/files/deploy/alertmanager
COPY deploy/discovery /tmp/exporter/files/deploy/discovery
COPY deploy/prometheus /tmp/exporter/files/deploy/prometheus
COPY deploy/systemd /tmp/exporter/files/deploy/systemd
COPY deploy/textfile /tmp/exporter/files/deploy/textfile
COPY grafana/*.json /tmp/exporter/files/grafana/
COPY grafana/provisioning /tmp/exporter/files/grafana/provisioning
# Byte code that ignores the source file's time is the same in every build, and Python never rewrites it.
RUN mv /tmp/exporter lib/python*/site-packages/ \
    && printf '%s\n' '#!/opt/exporter/bin/python' 'from exporter.__main__ import main' '' 'main()' >bin/vastai-exporter \
    && printf '%s\n' '#!/opt/exporter/bin/python -ISB' >bin/container-health \
    && cat lib/python*/site-packages/exporter/commands/container_health.py >>bin/container-health \
    && chmod 755 bin/vastai-exporter bin/container-health \
    && bin/python -m compileall -q --invalidation-mode unchecked-hash lib
COPY LICENSE ./

FROM python:${PYTHON}-slim
ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="vastai-exporter" \
      org.opencontainers.image.description="Prometheus exporter for people who rent GPUs on Vast.ai" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/exporter /opt/exporter
ENV PATH=/opt/exporter/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    VASTAI_EXPORTER_REVISION=${REVISION}
# A number lets Kubernetes verify that the user is not root.
USER 10001:10001
EXPOSE 10622
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["container-health"]
ENTRYPOINT ["vastai-exporter"]
