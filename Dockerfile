# Two images from one file: `service` has no torch (a few hundred MB), `worker` has it.
FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin descent \
    && mkdir /data /objects && chown descent /data /objects
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY models ./models
COPY migrations ./migrations
COPY cli ./cli
ENV DESCENT_DATA=/data DESCENT_HOST=0.0.0.0 DESCENT_PORT=8700
VOLUME /data /objects

FROM base AS service
COPY service ./service
RUN pip install --editable '.[telemetry]'
USER descent
EXPOSE 8700
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8700/healthz', timeout=2)"]
CMD ["python", "-m", "service.serve"]

FROM base AS worker
# `https://download.pytorch.org/whl/cpu` makes an image without CUDA, several gigabytes smaller.
ARG TORCH_INDEX=https://pypi.org/simple
COPY workers ./workers
# The compiler is for the statistics of gradients, workers/training/statistics.c, and leaves with this layer.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && pip install --extra-index-url "$TORCH_INDEX" --editable '.[worker,telemetry]' \
    && apt-get purge --yes --auto-remove gcc libc6-dev && rm -rf /var/lib/apt/lists/*
USER descent
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s CMD ["python", "-m", "workers.alive"]
CMD ["python", "-m", "workers"]
