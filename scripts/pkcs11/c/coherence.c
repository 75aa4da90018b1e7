// Two processes on one token, and forked children: what one makes or destroys, the other sees at its next call.
#include "token.h"

static int to_child[2], to_parent[2];

static void tell(int *pipe_) { if (write(pipe_[1], "x", 1) != 1) _exit(1); }
static void hear(int *pipe_)
{
    char byte;
    if (read(pipe_[0], &byte, 1) != 1)
        _exit(1);
}

static void other_process(void)
{
    alarm(60);
    token_initialize();
    CK_SESSION_HANDLE session = token_session();
    CK_OBJECT_HANDLE key;
    // A search before the key is there: what was read then must not be kept.
    wanted("other process: keys before", token_search(session, 'A', &key), 0);
    tell(to_parent);
    hear(to_child);
    wanted("other process: a new key is found by the next search", token_search(session, 'A', &key), 1);
    wanted("other process: it signs", token_sign(session, key), CKR_OK);
    tell(to_parent);
    hear(to_child);
    CK_OBJECT_HANDLE gone;
    wanted("other process: keys after it was destroyed elsewhere", token_search(session, 'A', &gone), 0);
    CK_RV rv = token_sign(session, key);
    printf("other process: a signature by the destroyed key: 0x%lx\n", rv);
    if (rv == CKR_OK)
        _exit(1);
    QUIET(token_calls->C_Finalize(NULL));
    _exit(0);
}

int main(int count, char **words)
{
    (void)count;
    token_load(words);
    CK_OBJECT_HANDLE public_key, private_key;

    if (pipe(to_child) || pipe(to_parent))
        return 1;
    pid_t child = fork();
    if (!child)
        other_process();
    hear(to_parent);
    token_initialize();
    CK_SESSION_HANDLE session = token_session();
    QUIET(token_generate(session, CK_TRUE, 'A', &public_key, &private_key));
    tell(to_child);
    hear(to_parent);
    QUIET(token_calls->C_DestroyObject(session, private_key));
    QUIET(token_calls->C_DestroyObject(session, public_key));
    tell(to_child);
    token_wait("other process", child);

    QUIET(token_generate(session, CK_TRUE, 'F', &public_key, &private_key));
    wanted("parent signs", token_sign(session, private_key), CKR_OK);
    if (!(child = fork())) {
        alarm(30);
        // 0x190: a child is no application before its own C_Initialize.
        wanted("child without C_Initialize signs", token_sign(session, private_key), CKR_CRYPTOKI_NOT_INITIALIZED);
        _exit(0);
    }
    token_wait("child without C_Initialize", child);
    if (!(child = fork())) {
        alarm(30);
        wanted("child's C_Initialize", token_calls->C_Initialize(NULL), CKR_OK);
        CK_RV rv = token_sign(session, private_key);
        printf("child with the parent's session: 0x%lx\n", rv);
        if (rv == CKR_OK)
            _exit(1);
        CK_SESSION_HANDLE own = token_session();
        CK_OBJECT_HANDLE found;
        wanted("child finds the key", token_search(own, 'F', &found), 1);
        wanted("child's handle is the parent's", found, private_key);
        wanted("child signs", token_sign(own, found), CKR_OK);
        wanted("child's C_Finalize", token_calls->C_Finalize(NULL), CKR_OK);
        _exit(0);
    }
    token_wait("child with C_Initialize", child);
    wanted("parent signs after its children ended", token_sign(session, private_key), CKR_OK);

    // Before each child has its own C_Initialize, so that none inherits an initialised module.
    QUIET(token_calls->C_Finalize(NULL));
    pid_t children[4];
    for (int i = 0; i < 4; i++)
        if (!(children[i] = fork())) {
            alarm(120);
            token_initialize();
            CK_SESSION_HANDLE own = token_session();
            for (int j = 0; j < 25; j++) {
                QUIET(token_generate(own, CK_TRUE, 'P', &public_key, &private_key));
                QUIET(token_sign(own, private_key));
            }
            _exit(0);
        }
    for (int i = 0; i < 4; i++)
        token_wait("one of four processes", children[i]);
    token_initialize();
    session = token_session();
    CK_OBJECT_HANDLE first;
    wanted("keys of four processes, 25 each", token_search(session, 'P', &first), 100);
    return 0;
}
