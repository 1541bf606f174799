/*
 * keycommand.h
 *		Running dibs.master_key_command.
 */
#ifndef DIBS_SECRETS_KEYCOMMAND_H
#define DIBS_SECRETS_KEYCOMMAND_H

#include "postgres.h"

/*
 * Runs it by a shell, as ssl_passphrase_command is run, and takes what it prints, up to room bytes; *len is room where
 * there was more, and the command is then ended. *status is as waitpid gives it. False with errno set where it could
 * not be run or read. Raises only for a cancel or the like, which ends the command and its children too.
 */
extern bool dibs_key_command_run(const char *command, char *text, Size room, Size *len, int *status);

#endif
