# syntax=docker/dockerfile:1
# smallsearch with the locked versions of everything. For a GPU: docker build --build-arg VARIANT=gpu …
# docs/docker.md has the lines to run it.
ARG PYTHON=3.11.14-slim-bookworm
ARG VARIANT=cpu

FROM python:${PYTHON} AS locked
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/smallsearch
COPY requirements.lock /src/
RUN /opt/smallsearch/bin/python -m pip install --require-hashes -r /src/requirements.lock
COPY pyproject.toml README.md LICENSE cli.py /src/
COPY search /src/search
COPY spaces /src/spaces
COPY storage /src/storage
COPY reports /src/reports
RUN /opt/smallsearch/bin/python -m pip install --no-deps --no-build-isolation /src

FROM locked AS cpu

# The lock has no CUDA libraries: they are those that the locked TensorFlow names, in the versions that it allows.
FROM locked AS gpu
RUN /opt/smallsearch/bin/python -m pip install \
    "tensorflow[and-cuda]==$(/opt/smallsearch/bin/python -c 'from importlib.metadata import version; print(version("tensorflow"))')"

FROM ${VARIANT} AS built

FROM python:${PYTHON}
RUN useradd --create-home --uid 1000 searcher && mkdir /work && chown searcher /work
COPY --from=built /opt/smallsearch /opt/smallsearch
ENV PATH=/opt/smallsearch/bin:$PATH PYTHONUNBUFFERED=1 KERAS_HOME=/tmp/keras
USER searcher
WORKDIR /work
VOLUME /work
ENTRYPOINT ["search"]
CMD ["--help"]
