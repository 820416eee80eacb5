import { Component, type ReactNode } from 'react'
import { sentenceOf } from '../errors'
import { Notice } from './Notice'

/** Shows a sentence in place of a part of the page that cannot be drawn, and tries again at another place (`at`): React would take all away. */
export class Boundary extends Component<{ at: string; children: ReactNode }, { error: unknown; at: string }> {
  override state = { error: null as unknown, at: this.props.at }

  static getDerivedStateFromError(error: unknown) {
    return { error: error ?? new Error('nobody knows what') }
  }

  static getDerivedStateFromProps({ at }: { at: string }, state: { at: string }) {
    return at === state.at ? null : { error: null, at }
  }

  override render() {
    return this.state.error === null ? (
      this.props.children
    ) : (
      <Notice kind="error" title="This cannot be shown">
        {sentenceOf(this.state.error)}
      </Notice>
    )
  }
}
