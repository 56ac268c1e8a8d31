//go:build tools

// Package amqp pins the client whose own tests are run.
package amqp

import _ "github.com/rabbitmq/amqp091-go"
