// The order of exit handlers: one that was registered before the module was loaded runs after everything that the module
// could have registered, and calls into it, as OpenSSL's cleanup does. Nothing may crash or hang; any answer will do.
#include "token.h"

static CK_SESSION_HANDLE session;

static void late(void)
{
    CK_BYTE random[32];
    printf("late: C_GenerateRandom 0x%lx", token_calls->C_GenerateRandom(session, random, sizeof random));
    printf(" C_CloseSession 0x%lx", token_calls->C_CloseSession(session));
    printf(" C_Finalize 0x%lx\n", token_calls->C_Finalize(NULL));
}

int main(int count, char **words)
{
    (void)count;
    alarm(60);
    atexit(late);
    token_load(words);
    token_initialize();
    session = token_session();
    return 0;
}
