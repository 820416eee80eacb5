import { Button, Group, Loader, Progress, Title } from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useCallback } from 'react'
import { Link, useParams } from 'react-router'
import { serverNow } from '../clock'
import { CancelButton } from '../components/CancelButton'
import { Figures } from '../components/Figures'
import { JobChart } from '../components/JobChart'
import { Latest } from '../components/Latest'
import { Notice } from '../components/Notice'
import { useNow } from '../components/now'
import { ModeBadge, StatusBadge } from '../components/Status'
import { useTitle } from '../components/title'
import { Ago, clockText, timeText, zone } from '../components/When'
import { csvOf } from '../csv'
import { getJob } from '../data/jobs'
import { loadPollers, pollerGone } from '../data/pollers'
import { useOutcomes } from '../data/useOutcomes'
import { useAccess } from '../database'
import { sentenceOfReading } from '../errors'
import { gridOf, instantOf, type Job, troubleOf } from '../job'
import { warningOf } from '../staleness'
import { path } from '../statistics/verdict'
import { duration } from '../statistics/words'

export function JobPage() {
  const { id = '' } = useParams()
  const { db } = useAccess()
  const found = useQuery({
    queryKey: ['job', id],
    queryFn: ({ signal }) => getJob(db, id, signal),
    refetchInterval: (query) => (query.state.data?.status === 'running' || query.state.error ? 5000 : false),
  })
  useTitle(found.data ? `Job ${found.data.account_number}` : 'Job')
  if (found.data)
    return <Loaded key={found.data.id} job={found.data} rowError={found.error} rowAsOf={found.dataUpdatedAt} />
  if (found.error) {
    return (
      <>
        <Title order={1} size="h2" mb="sm">
          Job
        </Title>
        <Notice kind="error" title="The job cannot be shown">
          {sentenceOfReading(found.error)}
        </Notice>
      </>
    )
  }
  if (found.isPending) return <Loader aria-label="Loading" />
  return (
    <>
      <Title order={1}>No such job</Title>
      <p>
        The database has no job with this id, or hides it from you. <Link to="/">Go to the jobs.</Link>
      </p>
    </>
  )
}

function Loaded({ job, rowError, rowAsOf }: { job: Job; rowError: unknown; rowAsOf: number }) {
  const { db } = useAccess()
  const queries = useQueryClient()
  const now = useNow()
  const refresh = useCallback(() => void queries.invalidateQueries({ queryKey: ['job', job.id] }), [queries, job.id])
  const { outcomes, share, asOf, error, realtime } = useOutcomes(job, refresh)
  const real = job.monitoring_mode === 'real_polling'
  const running = job.status === 'running'
  const pollers = useQuery({
    queryKey: ['pollers'],
    queryFn: ({ signal }) => loadPollers(db, serverNow(), signal),
    refetchInterval: 5000,
    enabled: real && running,
  })
  const grid = gridOf(job)
  const newest = outcomes?.samples.at(-1)?.at ?? null
  const seen = pollers.error ? null : (pollers.data ?? null)
  const warning =
    outcomes && !error && !rowError && !pollers.isPending ? warningOf(job, newest, outcomes.gaps, seen, now) : null
  const trouble = error ?? rowError
  const said = troubleOf(job)
  return (
    <>
      <Group justify="space-between" align="start" mb="xs">
        <div>
          <Title order={1} size="h2">
            {job.account_number}
          </Title>
          <p className="summary">
            <StatusBadge status={job.status} /> <ModeBadge mode={job.monitoring_mode} />{' '}
            <span className="address">{job.target_ip ?? 'no target IP'}</span> · every {duration(grid.cadence)} for{' '}
            {duration(grid.duration)} · started {timeText(grid.start)}
            {!running && job.completed_at && ` · ended ${timeText(instantOf(job.completed_at))}`}
          </p>
        </div>
        <Group gap="xs">
          {outcomes && (
            <Button
              variant="default"
              disabled={outcomes.samples.length + outcomes.gaps.length === 0}
              onClick={() => save(job, csvOf(grid, outcomes.samples, outcomes.gaps))}
            >
              Export CSV
            </Button>
          )}
          {running && <CancelButton job={job} />}
        </Group>
      </Group>
      <div className="notices">
        {trouble !== null && trouble !== undefined && (
          <Notice
            kind="error"
            title={
              outcomes
                ? `This is what was known at ${clockText(error ? asOf : rowAsOf)}`
                : 'The samples cannot be shown'
            }
          >
            {sentenceOfReading(trouble)}
          </Notice>
        )}
        {warning && (
          <Notice kind="warning" title="No samples">
            {warning}
          </Notice>
        )}
        {!warning && said && (
          <Notice kind="warning" title="The poller says">
            {said}
          </Notice>
        )}
      </div>
      {outcomes === null ? (
        !error && <Reading share={share} />
      ) : (
        <>
          <JobChart job={job} outcomes={outcomes} now={now} />
          <Figures job={job} outcomes={outcomes} asOf={asOf} />
          <Latest outcomes={outcomes} />
        </>
      )}
      <p className="quiet foot">
        {running && (
          <>
            {job.last_ping_at && (
              <>
                Last ping <Ago at={instantOf(job.last_ping_at)} />.{' '}
              </>
            )}
            {real && seen && <Seen lastSeen={seen.lastSeen} now={now} />}{' '}
            {realtime ? 'Live by Realtime.' : 'Live: looks for news every few seconds.'}{' '}
          </>
        )}
        {real ? path : 'These samples were made up by a browser.'} Times are those of {zone()}, as in this browser.
      </p>
    </>
  )
}

function Seen({ lastSeen, now }: { lastSeen: number | null; now: number }) {
  if (lastSeen === null) return <>No poller was ever seen.</>
  return (
    <span className={now - lastSeen > pollerGone ? 'high' : undefined}>
      Poller seen <Ago at={lastSeen} />.
    </span>
  )
}

function Reading({ share }: { share: number }) {
  return (
    <div className="reading">
      <p>Reading the samples…</p>
      <Progress value={100 * share} aria-label="How many of the samples are read" />
    </div>
  )
}

/** Lets the browser save a text as a file. */
function save(job: Job, text: string) {
  const url = URL.createObjectURL(new Blob([text], { type: 'text/csv;charset=utf-8' }))
  const link = document.createElement('a')
  link.href = url
  link.download = `soundcheck-${job.account_number.replace(/[^\w-]+/g, '_')}-${job.started_at.slice(0, 10)}.csv`
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), 60_000) // some browsers read it only after the click
}
