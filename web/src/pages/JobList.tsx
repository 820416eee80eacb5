import { Button, Group, Pagination, Select, Table, Text, TextInput, Title } from '@mantine/core'
import { useDebouncedValue } from '@mantine/hooks'
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { Link, useSearchParams } from 'react-router'
import { CancelButton } from '../components/CancelButton'
import { Loss } from '../components/Loss'
import { Notice } from '../components/Notice'
import { ModeBadge, StatusBadge } from '../components/Status'
import { useTitle } from '../components/title'
import { clockText, When } from '../components/When'
import { listJobs, pageSize, type Query, type SortColumn, sortable } from '../data/jobs'
import { useAccess } from '../database'
import { sentenceOfReading } from '../errors'
import { instantOf, type Job, type JobStatus, type Mode, modes, modeText, troubleOf } from '../job'
import { ms } from '../statistics/words'

const refreshEvery = 5000

const columns: { name: string; sort: SortColumn | null; number?: boolean }[] = [
  { name: 'Account', sort: 'account_number' },
  { name: 'Status', sort: 'status' },
  { name: 'Target', sort: 'target_ip' },
  { name: 'Mode', sort: null },
  { name: 'Avg RTT', sort: 'avg_rtt_ms', number: true },
  { name: 'Packet loss', sort: 'packet_loss_percent', number: true },
  { name: 'Samples', sort: 'total_samples', number: true },
  { name: 'Started', sort: 'started_at' },
]

export function JobList() {
  useTitle('Jobs')
  const { db } = useAccess()
  const [params, setParams] = useSearchParams()
  const query = queryOf(params)
  const change = (changes: Record<string, string | null>) =>
    setParams(
      (old) => {
        const next = new URLSearchParams(old)
        if (!('page' in changes)) next.delete('page')
        for (const [name, value] of Object.entries(changes)) {
          if (value) next.set(name, value)
          else next.delete(name)
        }
        return next
      },
      { replace: true },
    )
  const found = useQuery({
    queryKey: ['jobs', query],
    queryFn: ({ signal }) => listJobs(db, query, signal),
    refetchInterval: refreshEvery,
    placeholderData: keepPreviousData,
  })
  const count = found.data?.count ?? 0
  const filtered = query.search !== '' || query.status !== null || query.mode !== null
  return (
    <>
      <Group justify="space-between" mb="sm">
        <Title order={1} size="h2">
          Jobs
        </Title>
        <Button component={Link} to="/new">
          New job
        </Button>
      </Group>
      <Group mb="sm" align="end" role="search" aria-label="Jobs">
        <Search value={query.search} onChange={(text) => change({ search: text })} />
        <Select
          label="Status"
          data={['running', 'completed', 'cancelled', 'failed']}
          placeholder="All"
          clearable
          clearButtonProps={{ 'aria-label': 'All statuses' }}
          value={query.status}
          onChange={(status) => change({ status })}
          w={150}
        />
        <Select
          label="Mode"
          data={modes.map((value) => ({ value, label: modeText[value] }))}
          placeholder="All"
          clearable
          clearButtonProps={{ 'aria-label': 'All modes' }}
          value={query.mode}
          onChange={(mode) => change({ mode })}
          w={150}
        />
      </Group>
      {found.error && (
        <Notice
          kind="error"
          title={found.data ? `These are the jobs of ${clockText(found.dataUpdatedAt)}` : 'The jobs cannot be shown'}
        >
          {sentenceOfReading(found.error)}
        </Notice>
      )}
      {found.data && found.data.jobs.length === 0 && !found.error && (
        <div className="empty">
          {filtered ? (
            <>
              <p>No job is like that.</p>
              <Button variant="default" onClick={() => setParams({}, { replace: true })}>
                Show all jobs
              </Button>
            </>
          ) : (
            <p>
              There are no jobs yet. <Link to="/new">Start the first one.</Link>
            </p>
          )}
        </div>
      )}
      {found.data && found.data.jobs.length > 0 && (
        <>
          <Table.ScrollContainer minWidth={860} type="native" className="jobs">
            <Table verticalSpacing="xs" aria-label="Jobs" aria-busy={found.isPlaceholderData}>
              <Table.Thead>
                <Table.Tr>
                  {columns.map((c) => (
                    <Heading key={c.name} column={c} query={query} change={change} />
                  ))}
                  <Table.Th>
                    <span className="hidden">Cancel</span>
                  </Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {found.data.jobs.map((job) => (
                  <Row key={job.id} job={job} />
                ))}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
          <Group justify="space-between" mt="sm">
            <Text size="sm" className="quiet" role="status">
              {rangeText(found.data.page, found.data.jobs.length, count)}
            </Text>
            {count > pageSize && (
              <Pagination
                total={Math.ceil(count / pageSize)}
                value={found.data.page + 1}
                onChange={(page) => change({ page: page === 1 ? null : String(page) })}
                getItemProps={(page) => ({ 'aria-label': `Page ${page}` })}
                getControlProps={(control) => ({ 'aria-label': `${control} page` })}
              />
            )}
          </Group>
        </>
      )}
    </>
  )
}

function Search({ value, onChange }: { value: string; onChange: (text: string) => void }) {
  const [text, setText] = useState(value)
  const [settled] = useDebouncedValue(text, 300)
  // biome-ignore lint/correctness/useExhaustiveDependencies: only what was typed is searched for
  useEffect(() => {
    if (settled !== value) onChange(settled)
  }, [settled])
  useEffect(() => {
    if (value === '') setText('')
  }, [value])
  return (
    <TextInput
      label="Search"
      type="search"
      placeholder="Account or target IP"
      value={text}
      onChange={(event) => setText(event.currentTarget.value)}
      className="search"
    />
  )
}

function Heading({
  column,
  query,
  change,
}: {
  column: (typeof columns)[number]
  query: Query
  change: (changes: Record<string, string | null>) => void
}) {
  const { name, sort, number } = column
  if (sort === null) return <Table.Th>{name}</Table.Th>
  const mine = query.sort === sort
  // The first time a number is sorted by, the largest come first; a text, from A.
  const descending = mine ? !query.descending : sort === 'started_at' || number === true
  return (
    <Table.Th
      aria-sort={mine ? (query.descending ? 'descending' : 'ascending') : undefined}
      className={number ? 'number' : undefined}
    >
      <button type="button" className="sort" onClick={() => change({ sort, order: descending ? 'desc' : 'asc' })}>
        {name}
        <span aria-hidden="true">{mine ? (query.descending ? ' ↓' : ' ↑') : ''}</span>
      </button>
    </Table.Th>
  )
}

function Row({ job }: { job: Job }) {
  const trouble = troubleOf(job)
  return (
    <Table.Tr>
      <Table.Td>
        <Link to={`/jobs/${job.id}`}>{job.account_number}</Link>
        {trouble && <div className="trouble">{trouble}</div>}
      </Table.Td>
      <Table.Td>
        <StatusBadge status={job.status} />
      </Table.Td>
      <Table.Td className="address">{job.target_ip ?? '–'}</Table.Td>
      <Table.Td>
        <ModeBadge mode={job.monitoring_mode} />
      </Table.Td>
      <Table.Td className="number">{ms(job.avg_rtt_ms)}</Table.Td>
      <Table.Td className="number">
        <Loss percent={job.packet_loss_percent} />
      </Table.Td>
      <Table.Td className="number">{(job.total_samples ?? 0).toLocaleString()}</Table.Td>
      <Table.Td>
        <When at={instantOf(job.started_at)} />
      </Table.Td>
      <Table.Td>{job.status === 'running' && <CancelButton job={job} compact />}</Table.Td>
    </Table.Tr>
  )
}

/** Which jobs a list shows is in its address: it can be sent to somebody, and survives a reload. */
export function queryOf(params: URLSearchParams): Query {
  const one = <T extends string>(name: string, known: readonly T[]): T | null =>
    known.find((value) => value === params.get(name)) ?? null
  const sort = one('sort', sortable) ?? 'started_at'
  return {
    search: params.get('search') ?? '',
    status: one<JobStatus>('status', ['running', 'completed', 'cancelled', 'failed']),
    mode: one<Mode>('mode', modes),
    sort,
    descending: (params.get('order') ?? (params.has('sort') ? 'asc' : 'desc')) === 'desc',
    page: Math.max(0, (Number.parseInt(params.get('page') ?? '1', 10) || 1) - 1),
  }
}

/** Which of how many are shown: 26 to 50 of 1,234 jobs. */
export function rangeText(page: number, shown: number, count: number): string {
  const all = `${count.toLocaleString('en')} ${count === 1 ? 'job' : 'jobs'}`
  return shown >= count
    ? all
    : `${(page * pageSize + 1).toLocaleString('en')} to ${(page * pageSize + shown).toLocaleString('en')} of ${all}`
}
