/** The subset of uWebSockets.js 20.51 that is used here: the platform packages carry no types. Traps are in docs/decisions/0002. */

export interface UwsWebSocket<UserData> {
  getUserData(): UserData;
  send(message: ArrayBufferView, isBinary: boolean, compress: boolean): number;
  ping(): number;
  end(code: number, shortMessage: string): void;
  close(): void;
  getBufferedAmount(): number;
}

export interface UwsRequest {
  getUrl(): string;
  getMethod(): string;
  getQuery(): string;
  getHeader(lowerCaseName: string): string;
  /** Every header in order, names in lower case; one that is there twice comes twice. */
  forEach(handler: (name: string, value: string) => void): void;
}

export interface UwsResponse {
  writeStatus(status: string): this;
  writeHeader(name: string, value: string): this;
  end(body?: string | ArrayBufferView, closeConnection?: boolean): this;
  onData(handler: (chunk: ArrayBuffer, isLast: boolean) => void): this;
  onAborted(handler: () => void): this;
  cork(callback: () => void): this;
  close(): this;
  getRemoteAddressAsText(): ArrayBuffer;
  /** Of a PROXY v2 header, whoever sent it; empty without one. */
  getProxiedRemoteAddressAsText(): ArrayBuffer;
  upgrade<UserData>(data: UserData, key: string, protocol: string, extensions: string, context: UwsContext): void;
}

export interface UwsContext {
  readonly brand: unique symbol;
}

export interface UwsListenSocket {
  readonly listenBrand: unique symbol;
}

export interface UwsBehavior<UserData> {
  compression: number;
  maxPayloadLength: number;
  idleTimeout: number;
  maxBackpressure: number;
  closeOnBackpressureLimit: boolean;
  sendPingsAutomatically: boolean;
  upgrade(response: UwsResponse, request: UwsRequest, context: UwsContext): void;
  open(socket: UwsWebSocket<UserData>): void;
  message(socket: UwsWebSocket<UserData>, message: ArrayBuffer, isBinary: boolean): void;
  drain(socket: UwsWebSocket<UserData>): void;
  pong(socket: UwsWebSocket<UserData>): void;
  ping(socket: UwsWebSocket<UserData>): void;
  close(socket: UwsWebSocket<UserData>, code: number): void;
}

export interface UwsTlsOptions {
  cert_file_name?: string;
  key_file_name?: string;
  passphrase?: string;
  ssl_ciphers?: string;
}

export interface UwsAppDescriptor {
  readonly descriptorBrand: unique symbol;
}

export interface UwsApp {
  ws<UserData>(pattern: string, behavior: UwsBehavior<UserData>): this;
  any(pattern: string, handler: (response: UwsResponse, request: UwsRequest) => void): this;
  get(pattern: string, handler: (response: UwsResponse, request: UwsRequest) => void): this;
  post(pattern: string, handler: (response: UwsResponse, request: UwsRequest) => void): this;
  /** 1: a connection has come; -1: it has gone. Of one that has become a WebSocket nothing more is said. */
  filter(handler: (response: UwsResponse, change: 1 | -1) => void): this;
  addServerName(name: string, options: UwsTlsOptions): this;
  /** What is routed from here on is for this server name only. */
  domain(name: string): this;
  getDescriptor(): UwsAppDescriptor;
  /** From here on this app hands what it accepts to that one. */
  addChildAppDescriptor(descriptor: UwsAppDescriptor): this;
  removeChildAppDescriptor(descriptor: UwsAppDescriptor): this;
  listen(host: string, port: number, options: number, callback: (token: UwsListenSocket | false) => void): this;
  close(): this;
}

export interface UwsModule {
  App(): UwsApp;
  /** Throws where it cannot use what the options name. With none it listens without a certificate. */
  SSLApp(options: UwsTlsOptions): UwsApp;
  us_listen_socket_close(token: UwsListenSocket): void;
  us_socket_local_port(token: UwsListenSocket): number;
  readonly SHARED_COMPRESSOR: number;
  readonly DISABLED: number;
  readonly LIBUS_LISTEN_EXCLUSIVE_PORT: number;
}
