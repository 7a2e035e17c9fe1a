# The site layer: one image between the distribution (Debian, or a CUDA or ROCm image made from Ubuntu) and the engines.
# It carries what the engines need - Python, and a compiler, which half of them use to build or at run time - and what this
# site needs: its CA bundle, package indexes, apt mirror and wheelhouse. The wheelhouse lies here once; the engines' images
# share this layer and copy nothing.
ARG FROM_IMAGE=debian:bookworm-slim
FROM ${FROM_IMAGE}
# site/ is written by the orchestrator: ca/*.crt pip.conf apt.conf apt-mirror wheelhouse/*.whl; each may be absent
COPY site /opt/site
ARG DEBIAN_FRONTEND=noninteractive
# What find names here are apt's own lists, without blanks, and the pipe's last program is the one that can fail.
# hadolint ignore=DL4006,SC2038
RUN set -eu; \
    if [ -f /opt/site/apt.conf ]; then cp /opt/site/apt.conf /etc/apt/apt.conf.d/90site; fi; \
    if [ -f /opt/site/apt-mirror ] && grep -q '^ID=debian' /etc/os-release; then \
        find /etc/apt -name '*.list' -o -name '*.sources' | xargs sed -i -E "s#https?://[^ ]+/debian/?( |\$)#$(cat /opt/site/apt-mirror)\1#"; \
    fi; \
    apt-get update -q; \
    apt-get install -y -q --no-install-recommends ca-certificates python3 python3-venv libpython3-dev g++; \
    rm -rf /var/lib/apt/lists/*; \
    if [ -d /opt/site/ca ]; then mkdir -p /usr/local/share/ca-certificates; cp /opt/site/ca/*.crt /usr/local/share/ca-certificates/; update-ca-certificates; fi; \
    if [ -f /opt/site/pip.conf ]; then cp /opt/site/pip.conf /etc/pip.conf; fi
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    CARGO_HTTP_CAINFO=/etc/ssl/certs/ca-certificates.crt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# Marks every image of this suite; the engines' images inherit it.
LABEL llm-inference-bench=image
