package fhirsrs.hapi;

import ca.uhn.fhir.interceptor.api.Hook;
import ca.uhn.fhir.interceptor.api.Interceptor;
import ca.uhn.fhir.interceptor.api.Pointcut;
import ca.uhn.fhir.rest.api.RestOperationTypeEnum;
import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.server.exceptions.AuthenticationException;
import java.security.MessageDigest;
import static java.nio.charset.StandardCharsets.UTF_8;

/** Refuses with 401 every request without the one token, but for /metadata, which R4 wants open to all. */
@Interceptor
public final class BearerToken {

    private final byte[] wanted;

    BearerToken(String token) {
        wanted = ("Bearer " + token).getBytes(UTF_8);
    }

    @Hook(Pointcut.SERVER_INCOMING_REQUEST_PRE_HANDLED)
    public void check(RestOperationTypeEnum operation, RequestDetails request) {
        String given = request.getHeader("Authorization");
        boolean right = given != null && MessageDigest.isEqual(wanted, given.getBytes(UTF_8));
        if (!right && operation != RestOperationTypeEnum.METADATA) {
            throw new AuthenticationException("no valid bearer token")
                    .addAuthenticateHeaderForRealm("hapi");
        }
    }
}
