// dlopen, C_Initialize, a login, C_Finalize and dlclose, each time in a thread that ends: 20 times, then exit. What a module
// leaves in a thread, or runs at its end, must not need the module's code to be mapped still.
#include "token.h"
#include <pthread.h>

static char **program_words;

static void *once(void *nothing)
{
    void *module = dlopen(program_words[1], RTLD_NOW);
    token_load(program_words);
    token_initialize();
    CK_SESSION_HANDLE session = token_session();
    CK_BYTE random[32];
    QUIET(token_calls->C_GenerateRandom(session, random, sizeof random));
    QUIET(token_calls->C_Finalize(NULL));
    // Twice: token_load opened it as well.
    dlclose(module);
    dlclose(module);
    return nothing;
}

int main(int count, char **words)
{
    (void)count;
    alarm(120);
    program_words = words;
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, once, NULL);
        pthread_join(thread, NULL);
    }
    puts(dlopen(words[1], RTLD_NOLOAD | RTLD_NOW) ? "20 times; still mapped after dlclose" : "20 times; unmapped");
    return 0;
}
