# Relay image. Build: docker build -t clari-relay .   Run: docker run -p 8080:8080 clari-relay
# glibc matters: the pinned uWebSockets.js build is for Node 22 and glibc 2.27 or later (Debian 12 has 2.36).

FROM node:22-bookworm-slim AS build
WORKDIR /relay
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json ./
COPY scripts ./scripts
COPY src ./src
RUN node_modules/.bin/node scripts/build-server.ts && npm prune --omit=dev --no-audit --no-fund

FROM debian:12-slim
RUN useradd --system --uid 10001 --no-create-home relay
WORKDIR /relay
COPY --from=build /relay/node_modules ./node_modules
COPY --from=build /relay/dist ./dist
COPY package.json LICENSE ./
USER relay
EXPOSE 8080
# In a container the door must be open to the container's network; who may reach it is the network's business in this release.
ENV RELAY_HOST=0.0.0.0
HEALTHCHECK --interval=10s --timeout=2s --start-period=5s \
  CMD ["node_modules/.bin/node", "-e", "fetch('http://127.0.0.1:8081/readyz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# Exec form: the relay is process 1 and gets SIGTERM itself; it drains and exits 0. Allow more than drainDeadlineMs (15 s) to stop.
STOPSIGNAL SIGTERM
ENTRYPOINT ["node_modules/.bin/node", "--max-semi-space-size=2", "dist/server/main.js"]
CMD ["serve"]
