/**
 * A real Chromium (Debian's, by playwright-core), with a user of its own, ended with its test; and pages that remember what they were up to.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, chromium, type Page, type Request } from 'playwright-core';
import type { Test } from 'tap';
import { requireChromium } from '../../scripts/chromium.ts';
import { ROOT } from './program.ts';

const FLAGS = [
  '--no-sandbox', // Tests run as root in containers.
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
/** Chromium's own start is most of it, and a loaded machine makes it slow. */
const START_TIMEOUT_MS = 30_000;
const WAIT_TIMEOUT_MS = 15_000;

export interface BrowserOptions {
  readonly width?: number;
  readonly height?: number;
  readonly colorScheme?: 'light' | 'dark';
}

export async function openBrowser(t: Test, { width = 1280, height = 800, colorScheme = 'light' }: BrowserOptions = {}) {
  const userDirectory = mkdtempSync(join(tmpdir(), 'relay-browser-'));
  const context = await chromium.launchPersistentContext(userDirectory, {
    executablePath: requireChromium(),
    headless: true,
    args: FLAGS,
    viewport: { width, height },
    colorScheme,
    reducedMotion: 'reduce', // A screenshot or a look at a width does not hit the middle of a transition.
    timeout: START_TIMEOUT_MS,
  });
  context.setDefaultTimeout(WAIT_TIMEOUT_MS);
  t.teardown(async () => {
    await context.close();
    rmSync(userDirectory, { recursive: true, force: true, maxRetries: 5 });
  });
  return context;
}

/** What a page did besides what it showed. */
export class Watched {
  readonly page: Page;
  readonly requests: string[] = [];
  /** Errors and warnings of the console, exceptions, refusals of the content security policy. */
  readonly complaints: string[] = [];

  constructor(page: Page) {
    this.page = page;
    page.on('request', (request: Request) => this.requests.push(request.url()));
    page.on('websocket', (socket) => this.requests.push(socket.url()));
    page.on('pageerror', (error) => this.complaints.push(String(error)));
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) this.complaints.push(`${message.type()}: ${message.text()}`);
    });
  }

  /** Closed with its test: a page left open would go on asking and drawing beside the next one. */
  static async open(t: Test, context: BrowserContext, url: string): Promise<Watched> {
    const watched = new Watched(await context.newPage());
    t.teardown(() => watched.page.close());
    await watched.page.goto(url);
    return watched;
  }

  /** Requests that went anywhere else. */
  strayRequests(origin: string): string[] {
    return this.requests.filter((url) => new URL(url).origin !== origin);
  }

  /** Resolves when the text of what is selected is as wanted. */
  async untilText(selector: string, wanted: RegExp): Promise<string> {
    await this.page.waitForFunction(
      ([where, pattern, flags]) => new RegExp(pattern, flags).test(document.querySelector(where)?.textContent ?? ''),
      [selector, wanted.source, wanted.flags] as const,
    );
    return (await this.page.locator(selector).first().textContent()) ?? '';
  }

  /** How far the page can be pushed sideways, in CSS pixels. */
  sidewaysPixels(): Promise<number> {
    return this.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  }

  /** Violations of WCAG 2.2 A and AA and of axe's best practices, one line each. */
  async accessibilityProblems(): Promise<string[]> {
    // Evaluated, not added as a script: the page's content security policy stays in force.
    await this.page.evaluate(readFileSync(`${ROOT}node_modules/axe-core/axe.min.js`, 'utf8'));
    return this.page.evaluate(async () => {
      interface Violation {
        id: string;
        help: string;
        nodes: { html: string; failureSummary: string }[];
      }
      const { axe } = globalThis as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } };
      const { violations } = await axe.run();
      return violations.flatMap(({ id, help, nodes }) =>
        nodes.map(({ html, failureSummary }) => `${id}: ${help}: ${html}: ${failureSummary.replace(/\s+/g, ' ')}`),
      );
    });
  }
}
