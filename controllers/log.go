package controllers

import "github.com/go-logr/logr"

// terse gives a logger for a controller that works many thousand times a second: controller-runtime labels the logger anew each
// time, which would be a twentieth of the cost of a poll, and hardly ever writes anything.
func terse(log logr.Logger) logr.Logger { return log.WithSink(unlabelled{log.GetSink()}) }

// unlabelled takes no labels beyond those that it has.
type unlabelled struct{ logr.LogSink }

// WithValues implements logr.LogSink.
func (u unlabelled) WithValues(...any) logr.LogSink { return u }
