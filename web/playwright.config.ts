import { existsSync } from 'node:fs'
import { defineConfig } from '@playwright/test'

// The demo's stack: the page, the operator, PostgreSQL, and stand-ins for PostgREST and SpreeDB. PAGE_URL takes one that runs already.
const url = process.env.PAGE_URL ?? 'http://127.0.0.1:5180'
// Debian's, where Playwright's own browser was not installed.
const chromium = process.env.CHROMIUM ?? (existsSync('/usr/bin/chromium') ? '/usr/bin/chromium' : undefined)

export default defineConfig({
  testDir: 'e2e',
  outputDir: 'test-results',
  fullyParallel: true,
  workers: 4,
  forbidOnly: !!process.env.CI,
  retries: 0,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  reporter: [['list']],
  use: {
    baseURL: url,
    locale: 'en-US',
    timezoneId: 'America/Phoenix',
    screenshot: 'only-on-failure',
    trace: 'retain-on-failure',
    launchOptions: {
      ...(chromium ? { executablePath: chromium } : {}),
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--no-first-run',
      ],
    },
  },
  ...(process.env.PAGE_URL
    ? {}
    : {
        webServer: {
          command: `exec go run ./hack/demo --page=${new URL(url).host} --no-open`,
          cwd: '..',
          url: `${url}/healthz`,
          timeout: 600_000,
          gracefulShutdown: { signal: 'SIGTERM', timeout: 30_000 },
          stdout: 'ignore',
          stderr: 'pipe',
        },
      }),
})
