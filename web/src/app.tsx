import {
  ActionIcon,
  AppShell,
  Button,
  Container,
  Group,
  Text,
  useComputedColorScheme,
  useMantineColorScheme,
} from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { useEffect, useMemo, useRef, useState } from 'react'
import { Link, NavLink, Route, Routes, useLocation } from 'react-router'
import { Boundary } from './components/Boundary'
import { MoonIcon, SunIcon } from './components/icons'
import type { Config } from './config'
import { AccessProvider, type User } from './database'
import { JobList } from './pages/JobList'
import { JobPage } from './pages/JobPage'
import { NewJobPage } from './pages/NewJob'
import { Nowhere } from './pages/Nowhere'
import { SignIn } from './pages/SignIn'
import { simulate } from './simulator/runner'
import { connect, subjectOf } from './supabase'

export function App({ config }: { config: Config }) {
  const db = useMemo(() => connect(config), [config])
  const [user, setUser] = useState<User | null | undefined>(() =>
    config.signIn === 'supabase' ? undefined : visitor(config),
  )
  const queries = useQueryClient()

  useEffect(() => {
    if (config.signIn !== 'supabase') return
    const { data } = db.auth.onAuthStateChange((_, session) => {
      const next = session ? { id: session.user.id, email: session.user.email ?? null } : null
      setUser((old) => (old?.id === next?.id && old !== undefined ? old : next))
    })
    return () => data.subscription.unsubscribe()
  }, [config, db])

  const id = user ? user.id : undefined
  useEffect(() => {
    if (id === undefined) return
    const ending = new AbortController()
    void simulate(db, id, ending.signal)
    return () => ending.abort()
  }, [db, id])

  const signOut = async () => {
    await db.auth.signOut({ scope: 'local' })
    queries.clear()
  }

  return (
    <AppShell header={{ height: 56 }} padding="md">
      <AppShell.Header className="header">
        <Container size="xl" h="100%">
          <Group h="100%" justify="space-between" wrap="nowrap" gap="xs">
            <Group gap="sm" wrap="nowrap">
              <Link to="/" className="brand" aria-label="Sound Check">
                <img src="/icon.svg" alt="" width={26} height={26} />
                <span>Sound Check</span>
              </Link>
              {user && (
                <nav aria-label="Pages" className="pages">
                  <NavLink to="/" end>
                    Jobs
                  </NavLink>
                  <NavLink to="/new">New job</NavLink>
                </nav>
              )}
            </Group>
            <Group gap="xs" wrap="nowrap">
              {user?.email && (
                <Text size="sm" className="who" truncate>
                  {user.email}
                </Text>
              )}
              {user && config.signIn === 'supabase' && (
                <Button size="compact-sm" variant="default" onClick={() => void signOut()}>
                  Sign out
                </Button>
              )}
              <ColorScheme />
            </Group>
          </Group>
        </Container>
      </AppShell.Header>
      <AppShell.Main tabIndex={-1}>
        <Container size="xl" p={0}>
          {user === undefined ? null : user === null ? (
            <SignIn db={db} />
          ) : (
            <AccessProvider value={{ db, user }}>
              <Pages />
            </AccessProvider>
          )}
        </Container>
      </AppShell.Main>
    </AppShell>
  )
}

/** Whoever uses a page without signing in. */
function visitor(config: Config): User {
  return { id: config.signIn === 'token' ? subjectOf(config.accessToken ?? '') : null, email: null }
}

function Pages() {
  const { pathname } = useLocation()
  const shown = useRef(pathname)
  // Another page begins at its top, for the keyboard and for those who hear it, too.
  useEffect(() => {
    if (shown.current === pathname) return
    shown.current = pathname
    window.scrollTo(0, 0)
    document.querySelector('main')?.focus({ preventScroll: true })
  }, [pathname])
  return (
    <Boundary at={pathname}>
      <Routes>
        <Route path="/" element={<JobList />} />
        <Route path="/new" element={<NewJobPage />} />
        <Route path="/jobs/:id" element={<JobPage />} />
        <Route path="*" element={<Nowhere />} />
      </Routes>
    </Boundary>
  )
}

function ColorScheme() {
  const { setColorScheme } = useMantineColorScheme()
  const dark = useComputedColorScheme('light') === 'dark'
  return (
    <ActionIcon
      variant="default"
      size="lg"
      aria-label={dark ? 'Light colors' : 'Dark colors'}
      onClick={() => setColorScheme(dark ? 'light' : 'dark')}
    >
      {dark ? <SunIcon /> : <MoonIcon />}
    </ActionIcon>
  )
}
